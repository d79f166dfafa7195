// The determinism matrix: one history, gone through in several ways that must not matter, has to come to the same. The
// first way is the measure; where another differs, the read model, the row, both values and the fact are named.
import type { Expectation } from '../fixtures/format.ts';
import type { ReplayFault } from '../lane-messages.ts';
import { type RowDifference, rowDifference } from './difference.ts';
import type { ProveOptions, Walked, Way } from './way.ts';

export interface WayProof {
  readonly name: string;
  readonly verdict: 'same' | 'differs' | 'unsound';
  readonly seconds: number;
  /** Why it is unsound. */
  readonly fault?: ReplayFault | undefined;
  /** What differs of chains and digests, one line each. */
  readonly differences: readonly string[];
  /** Of the first read model that differs. */
  readonly row?: RowDifference | undefined;
}

export interface Proof {
  /** Every way was gone, and all came to the same. */
  readonly same: boolean;
  readonly models: Expectation['models'];
  readonly ways: readonly WayProof[];
}

/** Ends early when the first way is unsound, or at the signal. Throws what a way throws. */
export const prove = async (options: ProveOptions): Promise<Proof> => {
  const { ways, signal, onWay } = options;
  const proofs: WayProof[] = [];
  let measure: Walked | undefined;
  for (const way of ways) {
    if (signal?.aborted) break;
    onWay?.(way);
    const start = performance.now();
    const walked = await way.walk({});
    if (signal?.aborted) break;
    const proof = await judged(options, { way, walked, measure });
    proofs.push({ ...proof, name: way.name, seconds: (performance.now() - start) / 1_000 });
    measure ??= walked;
    if (measure.fault) break;
  }
  return {
    same: proofs.length === ways.length && proofs.every(({ verdict }) => verdict === 'same'),
    models: measure?.models ?? [],
    ways: proofs,
  };
};

interface Judging {
  readonly way: Way;
  readonly walked: Walked;
  readonly measure: Walked | undefined;
}

const judged = async (
  options: ProveOptions,
  { way, walked, measure }: Judging,
): Promise<Omit<WayProof, 'name' | 'seconds'>> => {
  const { fault } = walked;
  if (fault) return { verdict: 'unsound', fault, differences: [] };
  if (!measure) return { verdict: 'same', differences: [] };
  const models = walked.models.filter((model) => modelDifference(model, measure) !== undefined);
  const differences = [
    ...chainDifferences(walked, measure),
    ...models.map((model) => `${model.projection}: ${modelDifference(model, measure) ?? ''}`),
  ];
  if (differences.length === 0) return { verdict: 'same', differences };
  const projector = options.projectors.find(({ name }) => name === models[0]?.projection);
  const base = options.ways[0] as Way;
  const row = projector && (await rowDifference(options, { projector, base, other: way }));
  return { verdict: 'differs', differences, row };
};

const chainDifferences = ({ chains }: Walked, measure: Walked): readonly string[] => {
  if (!chains || !measure.chains) return [];
  const text = (each: Expectation['chains'][number] | undefined): string =>
    each ? `fact ${each.seq}, hash ${each.hash}, root ${each.root}` : 'no such chain';
  const wanted = new Map(measure.chains.map((chain) => [chain.tenant, chain]));
  const found = new Map(chains.map((chain) => [chain.tenant, chain]));
  return [...new Set([...wanted.keys(), ...found.keys()])]
    .filter((tenant) => text(wanted.get(tenant)) !== text(found.get(tenant)))
    .map((tenant) => `${tenant}: ${text(wanted.get(tenant))}; here ${text(found.get(tenant))}`);
};

type Model = Expectation['models'][number];

const modelDifference = (model: Model, { models }: Walked): string | undefined => {
  const wanted = models.find(({ projection }) => projection === model.projection);
  if (!wanted) return 'not folded the first way';
  const halts = ({ halted = [] }: Model): string =>
    halted.map(({ tenant, seq }) => `, halted for ${tenant} at ${seq}`).join('');
  const text = (each: Model): string => `${each.rows} rows, ${each.digest}${halts(each)}`;
  return text(wanted) === text(model) ? undefined : `${text(wanted)}; here ${text(model)}`;
};
