// What a replay came to, for people and for scripts.
import type { ReplayFeed } from '#replay-harness/feed.ts';
import type { ReplayResult } from '#replay-harness/replay.ts';
import { count, figure, type Output, pairs, visible } from './output.ts';

const VERDICTS: { readonly [Verdict in ReplayResult['verdict']]: string } = {
  sound: 'sound',
  unsound: 'NOT SOUND',
  differs: 'sound, but NOT AS EXPECTED',
  interrupted: 'interrupted; sound so far',
};

export interface Kept {
  /** The file of the report, when one was asked for. */
  readonly report?: string | undefined;
  /** The folder to go on from. */
  readonly state?: string | undefined;
}

const haltLines = ({ halts, sagas }: ReplayResult): readonly string[] =>
  [
    ...halts.map(({ projection, ...halt }) => ({ name: projection, ...halt })),
    ...sagas.flatMap(({ saga, halted = [] }) => halted.map((halt) => ({ name: saga, ...halt }))),
  ].map(
    ({ name, tenant, seq, message }) => `${name} halts for ${tenant} at fact ${seq}: ${visible(message)}`,
  );

export const answerReplay = (
  output: Output,
  { kind, name }: ReplayFeed,
  result: ReplayResult,
  { report, state }: Kept,
): void => {
  const { verdict, outcome, compared, differences, fault, halts, sagas, measured } = result;
  const { samples: _, ...figures } = measured;
  const document = {
    verdict,
    source: { kind, name },
    outcome,
    compared,
    differences,
    fault,
    halts,
    sagas,
    measured: figures,
  };
  output.answer(document, () => {
    const lines = [
      `${name}: ${VERDICTS[verdict]}${verdict === 'sound' && compared ? ', as expected' : ''}`,
      ...(fault ? [visible(fault.message)] : []),
      ...differences.map(visible),
      ...sagas.flatMap(({ unasked }) => unasked.map(visible)),
      ...haltLines(result),
      pairs([
        [
          'facts',
          `${figure(outcome.facts)} of ${count(outcome.chains.length, 'tenant')}; ${count(outcome.repeats, 'repetition')}, ${count(outcome.conflicts, 'conflict')}`,
        ],
        [
          'time',
          `${measured.seconds.toFixed(1)} s, ${figure(measured.factsPerSecond)} facts/s, ${(measured.cpuSeconds.user + measured.cpuSeconds.system).toFixed(1)} s of CPU`,
        ],
        ['memory', `${figure(measured.peakMiB)} MiB at most`],
        ...outcome.models.map(
          ({ projection, version, rows, digest }) =>
            [`${projection} v${version}`, `${count(rows, 'row')}, ${digest}`] as const,
        ),
        ...sagas.map(
          ({ saga, version, decisions, borneOut, digest }) =>
            [
              `saga ${saga} v${version}`,
              `${count(decisions, 'decision')}, of which ${figure(borneOut)} came to facts; ${digest}`,
            ] as const,
        ),
      ]),
      ...(report !== undefined && verdict !== 'interrupted'
        ? [`report in ${report}; verify it with \`prov-ledger replay verify ${report} --jwks jwks.json\``]
        : []),
      ...(verdict === 'interrupted' && state !== undefined
        ? [`go on with the same command; it stands in ${state}`]
        : []),
    ];
    return lines.join('\n');
  });
};
