// What all benchmarks share: the machine's description, medians, and the closing lines. A benchmark measures its
// yardstick in the same run, in turn with its own rounds, and is judged by the ratio alone: absolute rates drift
// from machine to machine and from hour to hour.
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';

export interface BenchResult {
  readonly name: string;
  /** Ours over the yardstick's, where more is better. */
  readonly ratio: number;
  /** The least ratio that counts as reached. */
  readonly goal: number;
  readonly yardstick: string;
  readonly runs: number;
  readonly figures: { readonly [name: string]: number | string };
}

export interface BenchArguments {
  readonly json: boolean;
  readonly runs: number;
  /** Facts, or whatever the benchmark counts. */
  readonly size: number;
  readonly only: string | undefined;
}

export const benchArguments = (defaults: {
  readonly runs: number;
  readonly size: number;
}): BenchArguments => {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean' },
      runs: { type: 'string' },
      size: { type: 'string' },
      only: { type: 'string' },
    },
  });
  return {
    json: values.json ?? false,
    runs: Number(values.runs ?? defaults.runs),
    size: Number(values.size ?? defaults.size),
    only: values.only,
  };
};

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
};

/** The value below which the given share of the values lies. */
export const quantile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
};

export const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1_000;
};

export const machine = (): string =>
  `${cpus().length} x ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}, ${process.platform}`;

const rounded = (value: number | string): string =>
  typeof value === 'string' ? value : String(Number(value.toPrecision(4)));

/** Prints the results for people, or as one JSON object per line, the last line being the last result. */
export const report = (results: readonly BenchResult[], json: boolean): void => {
  if (!json) console.log(machine());
  for (const result of results) {
    if (json) {
      console.log(JSON.stringify({ ...result, machine: machine() }));
      continue;
    }
    const verdict = result.ratio >= result.goal ? 'reached' : 'MISSED';
    console.log(
      `${result.name}: ${result.ratio.toFixed(2)}x of ${result.yardstick} (goal ${result.goal}x: ${verdict}; median of ${result.runs})`,
    );
    for (const [name, value] of Object.entries(result.figures))
      console.log(`  ${name.padEnd(36)} ${rounded(value)}`);
  }
};
