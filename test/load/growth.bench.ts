// What growth costs: p95 of an append and of a proof in a ledger of --size facts, against those in one of a tenth of
// them, round by round in turn. The facts come in by bulk import; appends are an open loop, proofs are of facts chosen at
// random. The goal stands for 1M against 10M (--size 10000000, which takes its time); the default asks a tenth of that.
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { importReceipts } from '#gateway/ingest/import.ts';
import { type Seq, tenantId } from '#schemas/ids.ts';
import { stopTestServers } from '#test/support/postgres.ts';
import { draftOf } from './drafts.ts';
import { type BenchResult, benchArguments, median, quantile, report } from './harness.ts';
import { type BenchLedger, benchLedger, createTenant } from './ledger.ts';
import { random, receiptLines, receiptTexts } from './receipts.ts';

const TENANT = tenantId('bench');
const args = benchArguments({ runs: 9, size: 1_000_000 });
const APPENDS_PER_SECOND = 500;
const SECONDS = 3;
const PROOFS = 500;

const grow = async ({ pool, store, keys, owner }: BenchLedger, count: number): Promise<void> => {
  await importReceipts({
    pool,
    ledgerId: store.ledgerId,
    signer: keys.signer,
    tenant: TENANT,
    source: Readable.from(receiptLines({ tenant: TENANT, count, seed: 1 })),
  });
  await owner.query('VACUUM ANALYZE ledger.facts');
  await owner.query('CHECKPOINT');
};

/** p95 in ms, counted from the scheduled arrival. */
const appendP95 = async ({ store }: BenchLedger, seed: number): Promise<number> => {
  const drafts = [...receiptTexts({ tenant: TENANT, count: APPENDS_PER_SECOND * SECONDS, seed })].map(
    draftOf,
  );
  const latencies: number[] = [];
  const pending: Promise<unknown>[] = [];
  const start = performance.now();
  for (let sent = 0; sent < drafts.length; await pause(1)) {
    const due = Math.min(drafts.length, ((performance.now() - start) / 1_000) * APPENDS_PER_SECOND);
    for (; sent < due; sent += 1) {
      const scheduled = start + (sent / APPENDS_PER_SECOND) * 1_000;
      const request = { tenant: TENANT, drafts: [drafts[sent] as never], expect: { kind: 'any' } as const };
      pending.push(store.append(request).then(() => latencies.push(performance.now() - scheduled)));
    }
  }
  await Promise.all(pending);
  return quantile(latencies.slice(latencies.length / 5), 0.95);
};

const proofP95 = async ({ store }: BenchLedger, seed: number): Promise<number> => {
  const next = random(seed);
  const head = (await store.head(TENANT))?.seq ?? 0;
  const latencies: number[] = [];
  for (let count = 0; count < PROOFS; count += 1) {
    const seq = (1 + Math.floor(next() * head)) as Seq;
    const from = performance.now();
    if (!(await store.proof(TENANT, seq))) throw new Error(`${seq} has no proof`);
    latencies.push(performance.now() - from);
  }
  return quantile(latencies.slice(latencies.length / 5), 0.95);
};

/** A ledger with so many facts. */
const grown = async (count: number): Promise<BenchLedger> => {
  const ledger = await benchLedger();
  await createTenant(ledger, TENANT);
  await grow(ledger, count);
  return ledger;
};

type P95 = (ledger: BenchLedger, seed: number) => Promise<number>;

const inTurn = async (name: string, p95: P95, [small, large]: readonly [BenchLedger, BenchLedger]) => {
  const rounds: { readonly small: number; readonly large: number }[] = [];
  // The first round warms both.
  for (let round = 0; round <= args.runs; round += 1)
    rounds.push({ small: await p95(small, 2 * round + 2), large: await p95(large, 2 * round + 3) });
  const counted = rounds.slice(1);
  const [less, more] = [median(counted.map((of) => of.small)), median(counted.map((of) => of.large))];
  const result: BenchResult = {
    name,
    ratio: less / more,
    goal: 1 / 1.3,
    yardstick: `p95 with ${args.size / 10} facts`,
    runs: args.runs,
    figures: { facts: args.size, 'p95 ms': more, [`p95 ms with ${args.size / 10} facts`]: less },
  };
  return result;
};

const measure = async (): Promise<readonly BenchResult[]> => {
  await using small = await grown(args.size / 10);
  await using large = await grown(args.size);
  return [
    await inTurn('growth.proof', proofP95, [small, large]),
    await inTurn('growth.append', appendP95, [small, large]),
  ];
};

const results = await measure();
await stopTestServers();
report(results, args.json);
