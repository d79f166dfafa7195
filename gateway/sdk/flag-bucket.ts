// Which of ten thousand buckets a subject is in. It depends on the tenant, the feature and the subject alone, so that
// whoever has a feature at 10 % still has it at 50 %, and so that anybody can work it out again (docs/domains/flags.md).
import { createHash } from 'node:crypto';

/** Buckets are 0 to 9,999. */
export const BUCKETS = 10_000;

export interface FlagSubject {
  readonly tenant: string;
  readonly feature: string;
  /** Who or what asks: any text that stays the same, for example a user's id. */
  readonly subject: string;
}

/** The first 48 bits of the SHA-256, big-endian, modulo 10,000. Neither tenant nor feature can hold a line feed. */
export const flagBucket = ({ tenant, feature, subject }: FlagSubject): number =>
  createHash('sha256')
    .update(`prov-ledger/flag/v1\n${tenant}\n${feature}\n${subject}`)
    .digest()
    .readUIntBE(0, 6) % BUCKETS;

/** Whether a subject of this bucket gets a feature that `pct` in a hundred get. */
export const isExposed = (bucket: number, pct: number): boolean => bucket < pct * (BUCKETS / 100);
