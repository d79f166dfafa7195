// The history as a rebuild reads it: whole tenants by binary COPY, many small ones with one question.
import { GENESIS_HASH } from '#proofs/chain.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { Client } from '#streams/postgres/connect.ts';
import { copyOut } from '#streams/postgres/copy.ts';
import { READ_COLUMNS, readCopyRow } from '#streams/postgres/rows.ts';

/** The facts of one tenant that are to be read, both ends included. */
export interface Stretch {
  readonly tenant: TenantId;
  readonly tenantNo: number;
  readonly from: Seq;
  readonly to: Seq;
  /** The hash of the fact before `from`. */
  readonly prevHash: Sha256;
}

export interface Portion {
  readonly stretch: Stretch;
  readonly facts: readonly Recorded[];
  /** With these facts the stretch is complete. */
  readonly last: boolean;
}

/** Facts that one question may be about when it is about many tenants: the server sorts them. */
const TOGETHER = 20_000;

/** In the order given; portions are as the server sends them, some hundred facts each. Throws `StreamError`: `corrupt`. */
export const readStretches = async function* (
  client: Client,
  stretches: readonly Stretch[],
): AsyncGenerator<Portion> {
  for (const group of grouped(stretches)) {
    const [first] = group as readonly [Stretch];
    const one = `SELECT ${READ_COLUMNS}, f.tenant_no FROM ledger.facts f WHERE f.tenant_no = ${first.tenantNo} AND f.seq BETWEEN ${first.from} AND ${first.to} ORDER BY f.seq`;
    const list = (values: readonly number[]): string => `'{${values.join(',')}}'::bigint[]`;
    const many = `SELECT ${READ_COLUMNS}, f.tenant_no FROM unnest(${list(group.map(({ tenantNo }) => tenantNo))}, ${list(group.map(({ from }) => from))}, ${list(group.map(({ to }) => to))}) WITH ORDINALITY AS g (tenant_no, first, last, place)
      JOIN ledger.facts f ON f.tenant_no = g.tenant_no AND f.seq BETWEEN g.first AND g.last ORDER BY g.place, f.seq`;
    yield* portions(client, group.length === 1 ? one : many, group);
  }
};

const grouped = function* (stretches: readonly Stretch[]): Generator<readonly Stretch[]> {
  let group: Stretch[] = [];
  let facts = 0;
  for (const stretch of stretches) {
    const count = stretch.to - stretch.from + 1;
    if (group.length > 0 && facts + count > TOGETHER) {
      yield group;
      group = [];
      facts = 0;
    }
    group.push(stretch);
    facts += count;
  }
  if (group.length > 0) yield group;
};

const portions = async function* (
  client: Client,
  query: string,
  group: readonly Stretch[],
): AsyncGenerator<Portion> {
  let index = 0;
  let stretch = group[0] as Stretch;
  let before: Sha256 = stretch.from === 1 ? GENESIS_HASH : stretch.prevHash;
  let next: number = stretch.from;
  for await (const { bytes, rows } of copyOut(client, query)) {
    let facts: Recorded[] = [];
    for (const at of rows) {
      const { fact } = readCopyRow(bytes, at, stretch.tenant, before);
      if (fact.seq !== next) throw missing(stretch, next);
      facts.push(fact);
      before = fact.hash;
      next += 1;
      if (next <= stretch.to) continue;
      yield { stretch, facts, last: true };
      facts = [];
      index += 1;
      const following = group[index];
      if (!following) continue;
      stretch = following;
      before = stretch.from === 1 ? GENESIS_HASH : stretch.prevHash;
      next = stretch.from;
    }
    if (facts.length > 0) yield { stretch, facts, last: false };
  }
  if (index < group.length) throw missing(stretch, next);
};

const missing = ({ tenant }: Stretch, seq: number): StreamError =>
  new StreamError(
    'corrupt',
    `${tenant}/${seq}: a fact below the head is missing; restore from an export or a replica`,
  );
