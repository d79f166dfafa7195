// The ledger back from ledger.events.v1 into a store that takes it: every message up to where the topic ended at the
// start, each fact checked against the one before it and under the signature of its batch. What the relay sent twice is
// compared and dropped; what is missing or does not hold ends it, with the place.
//
// A batch is known whole with its last fact only, so the facts of batches that are not whole yet wait in memory. Where
// they would be more than it may hold, tenants are put off and read again in another pass.
import { CHAIN_START, type ChainPosition } from '#proofs/chain.ts';
import { parseShare } from '#proofs/share.ts';
import { type Seq, type Sha256, sha256, type TenantId, tenantId } from '#schemas/ids.ts';
import {
  type CarriedFact,
  type Carrier,
  CarryError,
  carrier,
  checkLink,
  checkRepeats,
  checkShare,
  type ShareTaker,
  type Trust,
} from '#streams/carry.ts';
import type { AnnouncedHeads } from './announced-heads.ts';
import type { KafkaConnection } from './connect.ts';
import { factOf, type RawMessage } from './fact-message.ts';
import { headerText } from './headers.ts';
import { framedId, type WireSchemas } from './registry.ts';
import { EVENTS_TOPIC } from './relay.ts';
import { type Portion, wholeTopic } from './whole-topic.ts';

export interface BringOptions {
  readonly connection: KafkaConnection;
  readonly schemas: Pick<WireSchemas, 'reader' | 'learn'>;
  readonly taker: ShareTaker;
  readonly trust: Trust;
  readonly heads: AnnouncedHeads['heads'];
  /** Ends it between two batches: what was taken stays, and the same call goes on. */
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: BringProgress) => void;
  /** Bytes of payloads that wait for the end of their batch; 256 MiB unless told. */
  readonly waitingBytesMax?: number;
}

export interface BringProgress {
  /** Facts stored by this call. */
  readonly facts: number;
  readonly messages: number;
  /** Of this pass. */
  readonly share: number;
}

/** Facts on the topic whose signature is not: the end of a batch that the lost ledger never sent. They are left out. */
export interface Unsigned {
  readonly tenant: TenantId;
  readonly from: Seq;
  readonly to: Seq;
}

export interface Brought {
  readonly facts: number;
  readonly repeated: number;
  readonly unsigned: readonly Unsigned[];
}

/** Nothing when the signal came. Throws `CarryError`, `KafkaError`, `StreamError`. */
export const bringFromTopic = async (options: BringOptions): Promise<Brought | undefined> => {
  const { connection, taker, heads, signal } = options;
  const totals = { facts: 0, messages: 0, repeated: 0 };
  let only: ReadonlySet<TenantId> | undefined;
  const unsigned: Unsigned[] = [];
  do {
    const { topic, total, portions } = await wholeTopic(connection, EVENTS_TOPIC);
    const pass = passOf({ ...options, topic, total, totals, only });
    for await (const portion of portions(signal)) await takePortion(pass, portion);
    await pass.carrier.flush();
    if (signal.aborted) return undefined;
    only = pass.putOff;
    for (const [tenant, { waiting }] of pass.courses) {
      const first = waiting[0]?.fact.seq;
      if (first !== undefined)
        unsigned.push({ tenant, from: first, to: (first + waiting.length - 1) as Seq });
    }
  } while (only.size > 0);
  for (const { tenant, from } of unsigned)
    if ((heads.get(tenant)?.seq ?? 0) >= from)
      throw noSignature(tenant, from, connection.topic(EVENTS_TOPIC));
  await provenHeads(taker, heads);
  return { facts: totals.facts, repeated: totals.repeated, unsigned };
};

const noSignature = (tenant: TenantId, from: number | undefined, topic: string): CarryError =>
  new CarryError(
    'unsigned',
    `${tenant}: no signature comes with the facts from ${from} on: they were sent by a release whose messages carry none. Make ${topic} anew while the ledger is there (the relay then sends everything again), or restore from a backup or from exports`,
  );

/** Every head that was announced is in its chain. Throws `head-missing`. */
export const provenHeads = async (taker: ShareTaker, heads: AnnouncedHeads['heads']): Promise<void> => {
  for (const [tenant, { seq, hash }] of heads) {
    const [held] = await taker.hashes(tenant, { from: seq, to: seq });
    if (held === hash) continue;
    const { seq: end } = await taker.position(tenant);
    throw new CarryError(
      'head-missing',
      held === undefined
        ? `${tenant}: its facts end at ${end}, and its head was announced at ${seq}: the source lacks facts; use another one`
        : `${tenant}: fact ${seq} is another than the head that was announced: the source was rewritten; use another one`,
    );
  }
};

interface Course {
  /** Where the facts end that were taken or are on their way. */
  position: ChainPosition;
  waiting: CarriedFact[];
  bytes: number;
}

interface Pass extends BringOptions {
  readonly topic: string;
  readonly total: number;
  readonly totals: { facts: number; messages: number; repeated: number };
  /** All tenants in the first pass, then those that were put off in the one before. */
  readonly only: ReadonlySet<TenantId> | undefined;
  readonly courses: Map<TenantId, Course>;
  readonly putOff: Set<TenantId>;
  readonly carrier: Carrier;
  read: number;
  bytes: number;
}

const passOf = (of: Pick<Pass, keyof BringOptions | 'topic' | 'total' | 'totals' | 'only'>): Pass => ({
  ...of,
  courses: new Map(),
  putOff: new Set(),
  carrier: carrier(of.taker, (facts) => {
    of.totals.facts += facts;
  }),
  read: 0,
  bytes: 0,
});

type Repeats = Map<TenantId, Map<Seq, { readonly hash: Sha256; readonly where: string }>>;

const takePortion = async (pass: Pass, { partition, messages }: Portion): Promise<void> => {
  const { totals, onProgress, total } = pass;
  const repeats: Repeats = new Map();
  for (const message of messages) {
    const where = `${pass.topic}, partition ${partition}, offset ${message.offset}`;
    await takeMessage(pass, message, { where, repeats });
  }
  if (repeats.size > 0) {
    // What is compared with must be stored.
    await pass.carrier.flush();
    for (const [tenant, its] of repeats) await checkRepeats(pass.taker, tenant, its);
  }
  pass.read += messages.length;
  totals.messages += messages.length;
  onProgress?.({ ...totals, share: pass.read / Math.max(total, 1) });
};

interface At {
  readonly where: string;
  readonly repeats: Repeats;
}

const takeMessage = async (pass: Pass, message: RawMessage, { where, repeats }: At): Promise<void> => {
  const tenant = tenantOf(message, where);
  if (pass.putOff.has(tenant) || pass.only?.has(tenant) === false) return;
  const course = await courseOf(pass, tenant);
  const seq = Number(headerText(message.headers, 'seq')) as Seq;
  const end = course.position.seq + course.waiting.length;
  if (seq <= end) return takeRepeat(pass, message, { course, tenant, seq, where, repeats });
  const id = message.value && framedId(message.value);
  if (typeof id === 'number' && !pass.schemas.reader(id)) await pass.schemas.learn(id);
  const fact = readFact(message, pass, where);
  checkLink(fact, course.waiting.at(-1)?.fact ?? course.position, where);
  const claimed = headerText(message.headers, 'request_hash');
  course.waiting.push({ fact, requestHash: claimed === undefined ? undefined : sha256(claimed) });
  course.bytes += fact.payload.length;
  pass.bytes += fact.payload.length;
  const batch = headerText(message.headers, 'batch');
  if (batch !== undefined) await closeShare(pass, course, { tenant, batch, where });
  if (pass.bytes > (pass.waitingBytesMax ?? WAITING_BYTES_MAX)) putOffLargest(pass);
};

const WAITING_BYTES_MAX = 256 << 20;

const courseOf = async ({ courses, taker }: Pass, tenant: TenantId): Promise<Course> => {
  const known = courses.get(tenant);
  if (known) return known;
  const made: Course = { position: await taker.position(tenant), waiting: [], bytes: 0 };
  courses.set(tenant, made);
  return made;
};

const tenantOf = ({ key }: RawMessage, where: string): TenantId => {
  try {
    return tenantId(key?.toString('utf8') ?? '');
  } catch (cause) {
    throw new CarryError('broken', `a message has no tenant's name as its key (${where})`, { cause });
  }
};

const readFact = (message: RawMessage, { schemas }: Pass, where: string) => {
  try {
    return factOf(message, schemas.reader);
  } catch (cause) {
    throw new CarryError('broken', `${(cause as Error).message} (${where})`, { cause });
  }
};

interface Repeat extends At {
  readonly course: Course;
  readonly tenant: TenantId;
  readonly seq: Seq;
}

const takeRepeat = (
  pass: Pass,
  { headers }: RawMessage,
  { course, tenant, seq, where, repeats }: Repeat,
): void => {
  pass.totals.repeated += 1;
  const hash = (headerText(headers, 'hash') ?? '') as Sha256;
  const waiting = course.waiting[seq - course.position.seq - 1];
  if (waiting && waiting.fact.hash !== hash)
    throw new CarryError(
      'other-history',
      `${tenant}: fact ${seq} is on the topic twice, as different facts (${where}): the topic was written by two histories; use another source`,
    );
  if (waiting) return;
  const its = repeats.get(tenant) ?? new Map<Seq, { hash: Sha256; where: string }>();
  repeats.set(tenant, its);
  const earlier = its.get(seq);
  if (!(seq >= 1) || (earlier && earlier.hash !== hash))
    throw new CarryError(
      'other-history',
      `${tenant}: fact ${seq} is on the topic as different facts (${where})`,
    );
  its.set(seq, { hash, where });
};

interface Closing {
  readonly tenant: TenantId;
  readonly batch: string;
  readonly where: string;
}

const closeShare = async (pass: Pass, course: Course, { tenant, batch, where }: Closing): Promise<void> => {
  const facts = course.waiting;
  const carried = { share: readShare(tenant, batch, where), facts };
  checkShare(carried, pass.trust, where);
  course.position = facts.at(-1)?.fact ?? CHAIN_START;
  pass.bytes -= course.bytes;
  course.waiting = [];
  course.bytes = 0;
  await pass.carrier.put(tenant, carried);
};

const readShare = (tenant: TenantId, batch: string, where: string) => {
  try {
    return parseShare(batch);
  } catch (cause) {
    throw new CarryError('unsigned', `${tenant}: ${(cause as Error).message} (${where})`, { cause });
  }
};

const putOffLargest = (pass: Pass): void => {
  const { courses, putOff } = pass;
  const others = [...courses].filter(([tenant]) => !putOff.has(tenant));
  const [largest] = others.toSorted(([, one], [, other]) => other.bytes - one.bytes);
  if (!largest) return;
  const [tenant, course] = largest;
  if (others.length === 1) throw noSignature(tenant, course.waiting[0]?.fact.seq, pass.topic);
  putOff.add(tenant);
  pass.bytes -= course.bytes;
  courses.delete(tenant);
};
