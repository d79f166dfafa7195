// Writing without end while a service compares tables and graph again and again: nobody harms either store, so nothing may
// be found to differ, no alarm raised and no write refused, while comparisons keep up with what is written.
import { setTimeout as pause } from 'node:timers/promises';
import { decodeFact } from '#schemas/index.ts';
import { ACME, openDriftLoop } from './drift-loop.ts';
import type { Site } from './site.ts';

export interface Soaked {
  /** Receipts that were taken, and answers of any other status. */
  readonly taken: number;
  readonly refused: number;
  /** On record, by verdict; a clean one is put there only now and then. */
  readonly clean: number;
  readonly divergent: number;
  readonly alarms: number;
  /** The place of the last comparison on record, and the end of the chain. */
  readonly comparedAt: number;
  readonly end: number;
}

export interface SoakOptions {
  readonly site: Site;
  /** Of a Neo4j that nobody else uses. */
  readonly url: string;
  readonly seconds: number;
  /** Callers, each with one request at a time; 4 unless told. */
  readonly callers?: number;
}

const COMPARED_EVERY_SECONDS = 4;
/** Comparisons by command beside those of the service, so that some are on record from the whole time. */
const ON_RECORD = 2;

export const soak = async ({ site, url, seconds, callers = 4 }: SoakOptions): Promise<Soaked> => {
  await using loop = await openDriftLoop(site, url, { seconds: COMPARED_EVERY_SECONDS });
  const until = performance.now() + seconds * 1_000;
  let [taken, refused] = [0, 0];
  const caller = async (who: number): Promise<void> => {
    for (let at = 0; performance.now() < until; at += 1)
      if ((await loop.publish(`s-${who}-${at}`)).status === 201) taken += 1;
      else refused += 1;
  };
  const comparing = (async () => {
    for (let said = 0; said < ON_RECORD; said += 1) {
      await pause((seconds * 1_000) / ON_RECORD);
      await loop.cli('attest', 'run', ACME);
    }
  })();
  await Promise.all([...Array.from({ length: callers }, (_, who) => caller(who)), comparing]);
  await loop.until('what was written last is compared', async () => {
    await loop.cli('attest', 'run', ACME);
    const { comparedAt, end } = await onRecord(site);
    return comparedAt > taken && end - comparedAt < 100;
  });
  return { taken, refused, ...(await onRecord(site)) };
};

const onRecord = (site: Site): Promise<Omit<Soaked, 'taken' | 'refused'>> =>
  site.withStore(async (store) => {
    const found = { clean: 0, divergent: 0, alarms: 0, comparedAt: 0, end: 0 };
    for await (const page of store.read(ACME))
      for (const recorded of page) {
        found.end = recorded.seq;
        const { type, data } = decodeFact(recorded);
        if (type === 'attestations.DriftAlarmRaised') found.alarms += 1;
        if (type !== 'attestations.AttestationRecorded' || data.verdict === 'lag') continue;
        found[data.verdict] += 1;
        found.comparedAt = data.left_seq;
      }
    return found;
  });
