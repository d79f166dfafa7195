// What a replay measures of itself: where the time went, how long a chunk took from hand to hand, how fast and how large
// the process was over time.

export interface Sample {
  /** Seconds since the start. */
  readonly at: number;
  readonly facts: number;
  readonly rssMiB: number;
}

export interface Measured {
  /** Of this run: fewer than the history has where an earlier one was gone on from. */
  readonly facts: number;
  readonly seconds: number;
  readonly factsPerSecond: number;
  /** Of the whole process, all threads. */
  readonly cpuSeconds: { readonly user: number; readonly system: number };
  readonly peakMiB: number;
  /** From handing a chunk to a thread until it was folded. */
  readonly chunkMs: {
    readonly p50: number;
    readonly p95: number;
    readonly p99: number;
    readonly max: number;
  };
  readonly chunks: number;
  /** Seconds that the driving thread waited for each, and took for digests; and those that the threads worked. */
  readonly stages: { readonly [stage: string]: number };
  readonly samples: readonly Sample[];
}

export type Stage = 'input' | 'prove' | 'fold' | 'digest';

const SAMPLE_MS = 250;
/** Twice as many are thinned out to this. */
const SAMPLES = 400;
/** Buckets of the latency histogram grow by a twentieth: a quantile is exact to that. */
const GROWTH = Math.log(1.05);

export interface Measuring {
  readonly wait: <T>(stage: Stage, work: Promise<T>) => Promise<T>;
  readonly around: <T>(stage: Stage, work: () => T) => T;
  readonly chunk: (done: ChunkDone) => void;
  readonly result: () => Measured;
}

export interface ChunkDone {
  readonly facts: number;
  readonly ms: number;
  readonly work: Work;
  readonly fold: number;
}

export const measuring = (): Measuring => {
  const start = performance.now();
  const cpu = process.cpuUsage();
  const stages: Record<string, number> = {};
  const latencies = latencyHistogram();
  const samples = sampler(start);
  let facts = 0;
  const add = (stage: string, ms: number): void => {
    stages[stage] = (stages[stage] ?? 0) + ms / 1_000;
  };
  return {
    wait: async (stage, work) => {
      const since = performance.now();
      const result = await work;
      add(`waiting for ${stage}`, performance.now() - since);
      return result;
    },
    around: (stage, work) => {
      const since = performance.now();
      const result = work();
      add(stage, performance.now() - since);
      return result;
    },
    chunk: (done) => {
      facts += done.facts;
      latencies.add(done.ms);
      for (const [stage, ms] of Object.entries(done.work)) add(`threads: ${stage}`, ms);
      add('threads: fold', done.fold);
      samples.take(facts);
    },
    result: () => {
      const seconds = (performance.now() - start) / 1_000;
      const used = process.cpuUsage(cpu);
      return {
        facts,
        seconds,
        factsPerSecond: facts / seconds,
        cpuSeconds: { user: used.user / 1e6, system: used.system / 1e6 },
        peakMiB: process.resourceUsage().maxRSS / 1_024,
        ...latencies.result(),
        stages: { ...stages },
        samples: samples.all(facts),
      };
    },
  };
};

const sampler = (start: number) => {
  const samples: Sample[] = [{ at: 0, facts: 0, rssMiB: rssMiB() }];
  let last = start;
  const take = (facts: number, now: number): void => {
    last = now;
    samples.push({ at: (now - start) / 1_000, facts, rssMiB: rssMiB() });
    if (samples.length < SAMPLES * 2) return;
    const kept = samples.filter((_, index) => index % 2 === 0);
    samples.splice(0, samples.length, ...kept);
  };
  return {
    take: (facts: number): void => {
      const now = performance.now();
      if (now - last >= SAMPLE_MS) take(facts, now);
    },
    all: (facts: number): readonly Sample[] => {
      take(facts, performance.now());
      return [...samples];
    },
  };
};

const latencyHistogram = () => {
  const buckets = new Map<number, number>();
  let chunks = 0;
  let max = 0;
  const quantile = (share: number): number => {
    let seen = 0;
    for (const [bucket, here] of [...buckets].sort(([a], [b]) => a - b)) {
      seen += here;
      if (seen >= chunks * share) return Math.min(max, Math.exp(bucket * GROWTH));
    }
    return 0;
  };
  return {
    add: (ms: number): void => {
      chunks += 1;
      max = Math.max(max, ms);
      const bucket = Math.round(Math.log(Math.max(ms, 0.001)) / GROWTH);
      buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
    },
    result: () => ({
      chunks,
      chunkMs: { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99), max },
    }),
  };
};

/** Milliseconds that a thread took for each part of reading a chunk. */
export interface Work {
  readonly prove: number;
  readonly tree: number;
  readonly rows: number;
}

const rssMiB = (): number => Math.round(process.memoryUsage.rss() / 2 ** 20);
