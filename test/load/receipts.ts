// Receipts for benchmarks: the same bytes for the same seed, about 650 bytes each, canonical, ids in time order as
// services make them (UUIDv7), a few thousand actors with a skew, one operation in three with a parent.

/** A small, fast generator whose sequence depends on the seed alone (mulberry32). */
export const random = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
};

const START_MS = Date.UTC(2026, 0, 1);
const ACTIONS = [
  'db.export',
  'iam.grant',
  'iam.revoke',
  'deploy.release',
  'secret.read',
  'policy.update',
  'vm.stop',
  'key.rotate',
];
const REGIONS = ['eu-west-1', 'eu-north-1', 'us-east-1', 'ap-south-1'];

const hex = (next: () => number, digits: number): string => {
  let text = '';
  while (text.length < digits)
    text += Math.floor(next() * 0x1_0000_0000)
      .toString(16)
      .padStart(8, '0');
  return text.slice(0, digits);
};

const uuidV7 = (ms: number, next: () => number): string => {
  const time = ms.toString(16).padStart(12, '0');
  const rest = hex(next, 18);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${rest.slice(0, 3)}-a${rest.slice(3, 6)}-${rest.slice(6)}`;
};

export interface ReceiptTextOptions {
  readonly tenant: string;
  readonly count: number;
  readonly seed?: number;
}

/** Canonical receipt texts, version 1. */
export const receiptTexts = function* ({ tenant, count, seed = 7 }: ReceiptTextOptions): Generator<string> {
  const next = random(seed);
  let parent: string | undefined;
  for (let index = 0; index < count; index += 1) {
    const ms = START_MS + index * 40;
    const id = uuidV7(ms, next);
    const opId = uuidV7(ms, next);
    const actor = `svc-${Math.floor(next() ** 3 * 4_000)}@example.org`;
    const at = new Date(ms).toISOString();
    const opParent = parent !== undefined && next() < 0.33 ? `"op_parent_id":"${parent}",` : '';
    yield `{"action":"${ACTIONS[Math.floor(next() ** 2 * 8)]}","actor":"${actor}","created_at":"${at}","decision":"${next() < 0.93 ? 'allow' : 'deny'}","evidence_hash":"sha256:${hex(next, 64)}","id":"${id}","inputs":{"justification":"ticket ${Math.floor(next() * 90_000) + 10_000} approved by on-call","request":{"method":"POST","path":"/v1/projects/p-${Math.floor(next() * 900)}/objects/${hex(next, 16)}","size":${Math.floor(next() * 1e6)}},"session":"${hex(next, 96)}"},"op_id":"${opId}",${opParent}"policy_version":"2026.${index % 12}.${index % 7}","region":"${REGIONS[index & 3]}","tenant":"${tenant}"}`;
    parent = opId;
  }
};

/** The same as NDJSON, in chunks of about a mebibyte. */
export const receiptLines = function* (options: ReceiptTextOptions): Generator<Buffer> {
  let part = '';
  for (const text of receiptTexts(options)) {
    part += `${text}\n`;
    if (part.length > 1 << 20) {
      yield Buffer.from(part);
      part = '';
    }
  }
  yield Buffer.from(part);
};
