import { expect } from 'chai';
import { readGate, WritePathClosed } from '#gateway/tenancy/write-gate.ts';
import type { AttestedStore } from '#projectors/attestation/store.ts';
import type { RowSink } from '#projectors/sink.ts';
import { type DriftEvent, type DriftState, drift } from '#sagas/attestations.ts';
import { allSagas } from '#sagas/index.ts';
import type { AnySaga, Saga } from '#sagas/saga.ts';
import type { Seq } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { memorySink } from '#test/projectors/memory-sink.ts';
import { simulate } from './simulate.ts';
import type { Plants } from './world.ts';

const SEEDS = 200;

/** The saga of drift with another reaction. */
const otherDrift = (react: Saga<DriftEvent, DriftState>['react']): Plants => ({
  sagas: allSagas.map((saga: AnySaga) => (saga.name === drift.name ? { ...drift, react } : saga)),
});

const restoring = otherDrift((step) => {
  const { fact, after } = step;
  if (fact.type !== 'attestations.BackfillCompleted' || after.standing !== 'filled' || !after.byAlarm)
    return drift.react(step);
  const { route } = fact.data;
  const reason = 'it is filled';
  return [{ domain: 'gates', command: { type: 'RestoreWritePath', route, grounds: 'attested', reason } }];
});

/** The facts of a step go missing now and then, while the checkpoint moves. */
const losing = (): Plants => {
  let steps = 0;
  const sink = (sound: RowSink): RowSink => ({
    ...sound,
    apply: (projector, step) => {
      steps += 1;
      return sound.apply(projector, steps % 5 === 0 ? { ...step, facts: [] } : step);
    },
  });
  return { sink };
};

const beyond = (store: AttestedStore): AttestedStore => ({
  ...store,
  range: (tenant, from) => store.range(tenant, from, Number.MAX_SAFE_INTEGER as Seq),
});

/** A store that is being filled anew has no checkpoint; this one goes by the last it had. */
const remembering = (store: AttestedStore): AttestedStore => {
  let last: Awaited<ReturnType<AttestedStore['position']>>;
  return {
    ...store,
    position: async (tenant) => {
      const now = await store.position(tenant);
      if ((now?.seq ?? 0) > (last?.seq ?? 0)) last = now;
      return last;
    },
  };
};

const keysOnly = (store: AttestedStore): AttestedStore => ({
  ...store,
  range: async (...of) => (await store.range(...of)).map((each) => ({ ...each, digest: each.key })),
});

/** Looks whether the gate is closed, and names no epoch. */
const unfenced = (store: StreamStore): StreamStore => ({
  ...store,
  append: async (request) => {
    const gate = await readGate(store, request.tenant, 'receipts');
    if (gate.closed) throw new WritePathClosed('receipts', gate);
    return await store.append(request);
  },
});

const FALSE_ALARM = /what nobody harmed does not differ|is not wrong for nothing/;

const PLANTED: { readonly [what: string]: { readonly plants: () => Plants; readonly found: RegExp } } = {
  'a sink that takes steps without compare-and-swap': {
    plants: () => ({ kept: () => memorySink({ blind: true }) }),
    found: /has not halted|is what the facts up to/,
  },
  'a sink whose checkpoint moves without the rows': { plants: losing, found: /is what the facts up to/ },
  'a saga that restores without proof': { plants: () => restoring, found: /nothing returns without proof/ },
  'a saga that closes nothing': {
    plants: () =>
      otherDrift((step) => (step.fact.type === 'attestations.DriftAlarmRaised' ? [] : drift.react(step))),
    found: /an alarm that was crossed is raised and in force|what drifts is closed/,
  },
  'a saga that opens nothing again': {
    plants: () =>
      otherDrift((step) => drift.react(step).filter(({ command }) => command.type !== 'RestoreWritePath')),
    found: /what an alarm has closed comes back|proof that is there is used/,
  },
  'an attester that compares at unequal positions': {
    plants: () => ({ attested: beyond }),
    found: FALSE_ALARM,
  },
  'an attester that reads on while a store is filled anew': {
    plants: () => ({ attested: remembering }),
    found: FALSE_ALARM,
  },
  'an attester that looks at keys and not at what they hold': {
    plants: () => ({ attested: keysOnly }),
    found: /is found at/,
  },
  'a writer without a gate': {
    plants: () => ({ gates: (store) => store }),
    found: /past a path that was closed/,
  },
  'a gate that is not fenced by its epoch': {
    plants: () => ({ gates: unfenced }),
    found: /past a path that was closed/,
  },
};

describe('simulation: faults that the oracle finds', function () {
  this.timeout(600_000);

  for (const [what, { plants, found }] of Object.entries(PLANTED))
    it(`${what}, within ${SEEDS} worlds`, async () => {
      let finding = '';
      let seed = 0;
      while (finding === '' && seed < SEEDS) {
        seed += 1;
        finding = await simulate(seed, plants()).then(
          () => '',
          (error: Error) => error.message,
        );
      }
      expect(finding, `nothing in ${SEEDS} worlds`).to.match(found);
    });
});
