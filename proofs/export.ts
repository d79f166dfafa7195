// Verifies an export (export-lines.ts) with nothing but its lines and keys that the verifier brings: no store, no network, no
// clock, in memory bounded by one commit batch.
import type { Draft, Recorded } from '#schemas/event.ts';
import {
  factId,
  type Instant,
  instantText,
  type Seq,
  type Sha256,
  type StreamName,
  seq,
  sha256,
  tenantId,
} from '#schemas/ids.ts';
import { parseStrict } from './canonical.ts';
import { CHAIN_START, type ChainFault, type ChainPosition, linkFault } from './chain.ts';
import { type BatchFault, type BatchProof, proofFault } from './checkpoint.ts';
import { digestsOf, treeOfDigests } from './digest-tree.ts';
import { EXPORT_FORMAT, type ExportHeader, type ExportTotals } from './export-lines.ts';
import type { VerificationKey } from './keys/public-key.ts';

/** Longer than any line of an export, whose payloads are at most 1 MiB before they are written as JSON text. */
export const EXPORT_LINE_BYTES_MAX = 16 << 20;

export type ExportFaultCode =
  | ChainFault
  | BatchFault
  /** The file is no export, or of a later format: verify it with the program that wrote it. */
  | 'not-an-export'
  /** A line is not what this place of the file must hold. */
  | 'malformed-line'
  /** A batch does not follow directly on the facts it signs. */
  | 'misplaced-batch'
  /** Signed with a key that the verifier does not trust. */
  | 'unknown-key'
  | 'other-ledger'
  /** Facts that no signature covers. */
  | 'unsigned-facts'
  /** The file ends before its own end. */
  | 'cut-off'
  | 'totals-differ'
  /** Something stands behind the end. */
  | 'trailing-lines';

export interface ExportFault {
  /** From 1. */
  readonly line: number;
  readonly code: ExportFaultCode;
  readonly message: string;
}

export interface ExportReport extends ExportTotals {
  readonly header: ExportHeader;
  readonly kids: readonly string[];
}

export interface ExportVerifier {
  /** The fault of the next line; after one, nothing that follows means anything. */
  readonly line: (text: string) => ExportFault | undefined;
  /** To be called when there are no more lines. */
  readonly end: () => ExportFault | ExportReport;
  readonly facts: () => number;
}

class Unsound extends Error {
  readonly code: ExportFaultCode;
  constructor(code: ExportFaultCode, message: string) {
    super(message);
    this.code = code;
  }
}

type Members = { readonly [name: string]: unknown };

interface State {
  header?: ExportHeader;
  position: ChainPosition;
  facts: number;
  batches: number;
  /** Hashes of facts that no batch has covered yet. */
  unsigned: Sha256[];
  /** These facts, where somebody takes them. */
  held: Recorded[];
  readonly taken: TakeShare | undefined;
  kids: Set<string>;
  ended: boolean;
}

/** Given the facts that one signature covers, once all of it was verified; `proof`: of the first of them. */
export type TakeShare = (facts: readonly Recorded[], proof: BatchProof) => void;

/** Takes an export line by line, in memory bounded by one batch. `keys` are those the caller trusts. */
export const exportVerifier = (keys: readonly VerificationKey[], taken?: TakeShare): ExportVerifier => {
  const trusted = new Map(keys.map((key) => [key.kid, key]));
  const state: State = {
    position: CHAIN_START,
    facts: 0,
    batches: 0,
    unsigned: [],
    held: [],
    taken,
    kids: new Set(),
    ended: false,
  };
  let number = 0;
  const guarded = (work: () => void): ExportFault | undefined => {
    try {
      work();
      return undefined;
    } catch (error) {
      const code = error instanceof Unsound ? error.code : 'malformed-line';
      return { line: number, code, message: (error as Error).message };
    }
  };
  return {
    line: (text) => {
      number += 1;
      return guarded(() => takeLine(state, text, trusted));
    },
    end: () => guarded(() => checkEnded(state)) ?? reportOf(state),
    facts: () => state.facts,
  };
};

const takeLine = (state: State, text: string, trusted: ReadonlyMap<string, VerificationKey>): void => {
  if (state.ended) throw new Unsound('trailing-lines', 'a line stands behind the end of the export');
  const parsed = parseStrict(text, { maxBytes: EXPORT_LINE_BYTES_MAX });
  if (!parsed.ok || !isObject(parsed.value)) {
    throw new Unsound(
      state.header ? 'malformed-line' : 'not-an-export',
      parsed.ok ? 'the line is no JSON object' : `the line is no JSON: ${parsed.error.message}`,
    );
  }
  const value: Members = parsed.value;
  if (!state.header) takeHeader(state, value);
  else if (isObject(value['fact'])) takeFact(state, state.header, value['fact']);
  else if (isObject(value['batch'])) takeBatch(state, state.header, { batch: value['batch'], trusted });
  else if (isObject(value['end'])) takeEnd(state, state.header, value['end']);
  else throw new Unsound('malformed-line', 'the line holds neither a fact nor a batch nor the end');
};

const takeHeader = (state: State, value: Members): void => {
  if (value['format'] !== EXPORT_FORMAT)
    throw new Unsound('not-an-export', `the first line does not name the format ${EXPORT_FORMAT}`);
  const from = seq(number(value, 'from'));
  const before: ChainPosition =
    from <= 1
      ? CHAIN_START
      : {
          seq: (from - 1) as Seq,
          hash: sha256(text(value, 'prev_hash')),
          recordedAt: time(text(value, 'prev_recorded_at')),
        };
  if (from < 1 || text(value, 'prev_hash') !== before.hash)
    throw new Unsound('broken-link', 'the first fact of a chain follows on the all-zero hash');
  state.header = {
    ledgerId: text(value, 'ledger_id'),
    tenant: tenantId(text(value, 'tenant')),
    from,
    to: seq(number(value, 'to')),
    before,
  };
  state.position = before;
};

const takeFact = (state: State, { tenant }: ExportHeader, value: Members): void => {
  const draft: Draft = {
    id: factId(text(value, 'id')),
    type: text(value, 'type'),
    schemaVersion: number(value, 'schema_version'),
    stream: optional(value, 'stream') as StreamName | undefined,
    occurredAt: time(text(value, 'occurred_at')),
    actor: text(value, 'actor'),
    opId: optional(value, 'op_id'),
    opParentId: optional(value, 'op_parent_id'),
    region: optional(value, 'region'),
    traceparent: optional(value, 'traceparent'),
    payload: text(value, 'payload'),
  };
  const fact: Recorded = {
    ...draft,
    tenant,
    seq: seq(number(value, 'seq')),
    recordedAt: time(text(value, 'recorded_at')),
    prevHash: state.position.hash,
    hash: sha256(text(value, 'hash')),
  };
  const fault = linkFault(fact, tenant, state.position);
  if (fault)
    throw new Unsound(
      fault,
      `fact ${fact.seq} does not follow on fact ${state.position.seq}: ${EXPLAINED[fault]}`,
    );
  state.position = { seq: fact.seq, hash: fact.hash, recordedAt: fact.recordedAt };
  state.unsigned.push(fact.hash);
  if (state.taken) state.held.push(fact);
  state.facts += 1;
};

const EXPLAINED: { readonly [Fault in ChainFault]: string } = {
  'wrong-tenant': 'it belongs to another tenant',
  'seq-gap': 'a fact is missing, repeated or out of order',
  'broken-link': 'it names another fact before it',
  'hash-mismatch': 'its content, or the facts before it, are not those that were hashed',
  'time-went-back': 'it was recorded before the fact before it',
};

const takeBatch = (
  state: State,
  header: ExportHeader,
  { batch, trusted }: { readonly batch: Members; readonly trusted: ReadonlyMap<string, VerificationKey> },
): void => {
  const before = hashes(batch, 'hashes_before');
  const after = hashes(batch, 'hashes_after');
  const firstSeq = number(batch, 'first_seq');
  const atStart = state.position.seq - state.unsigned.length + 1 === header.from;
  const fits =
    firstSeq + before.length === state.position.seq - state.unsigned.length + 1 && state.unsigned.length > 0;
  if (!fits || (before.length > 0 && !atStart) || (after.length > 0 && state.position.seq !== header.to)) {
    throw new Unsound(
      'misplaced-batch',
      `the batch from fact ${firstSeq} does not sign the facts before this line`,
    );
  }
  const all = [...before, ...state.unsigned, ...after];
  const proof = proofOf(header, batch, all);
  const key = trusted.get(proof.kid);
  if (!key)
    throw new Unsound(
      'unknown-key',
      `the batch from fact ${firstSeq} is signed with ${proof.kid}, which is not among the trusted keys`,
    );
  const fault = proofFault(all[0] as Sha256, proof, key);
  if (fault)
    throw new Unsound(
      fault,
      `the signature over facts ${firstSeq} to ${firstSeq + all.length - 1} does not hold (${fault})`,
    );
  state.kids.add(proof.kid);
  state.taken?.(state.held, proof);
  state.unsigned = [];
  state.held = [];
  state.batches += 1;
};

/** Only the spelling that `instantText` writes: more digits for years that four cannot say. */
const time = (raw: string): Instant => {
  const at = Date.parse(raw) as Instant;
  if (Number.isNaN(at) || instantText(at) !== raw)
    throw new Unsound('malformed-line', `"${raw.slice(0, 40)}" is no time as this format writes it`);
  return at;
};

/** The proof of the batch's first fact, its path worked out from all the hashes: so it stands or falls with each of them. */
const proofOf = ({ ledgerId }: ExportHeader, batch: Members, all: readonly Sha256[]): BatchProof => {
  if (number(batch, 'count') !== all.length)
    throw new Unsound('counts', `the batch names ${String(batch['count'])} facts, here are ${all.length}`);
  return {
    ledgerId,
    signedAt: time(text(batch, 'signed_at')),
    tenantCount: number(batch, 'tenant_count'),
    batchFactCount: number(batch, 'batch_fact_count'),
    root: sha256(text(batch, 'root')),
    kid: text(batch, 'kid'),
    signature: text(batch, 'signature'),
    path: {
      factIndex: 0,
      factCount: all.length,
      factPath: treeOfDigests(digestsOf(all)).proof(0),
      tenantIndex: number(batch, 'tenant_index'),
      tenantPath: hashes(batch, 'tenant_path'),
    },
  };
};

const takeEnd = (state: State, { to }: ExportHeader, value: Members): void => {
  if (state.unsigned.length > 0)
    throw new Unsound('unsigned-facts', `no signature covers the last ${state.unsigned.length} facts`);
  const { seq: last, hash, recordedAt } = state.position;
  const agrees =
    number(value, 'facts') === state.facts &&
    number(value, 'batches') === state.batches &&
    number(value, 'seq') === last &&
    text(value, 'hash') === hash &&
    time(text(value, 'recorded_at')) === recordedAt;
  if (!agrees || last !== to || state.facts === 0) {
    throw new Unsound(
      'totals-differ',
      `the end does not agree with what came before it: ${state.facts} facts up to ${last}, in ${state.batches} batches`,
    );
  }
  state.ended = true;
};

const checkEnded = ({ ended, header, facts }: State): void => {
  if (!header) throw new Unsound('not-an-export', 'the file is empty');
  if (!ended) throw new Unsound('cut-off', `the file stops after ${facts} facts, before its own end`);
};

const reportOf = ({ header, facts, batches, position, kids }: State): ExportReport => ({
  header: header as ExportHeader,
  facts,
  batches,
  head: position,
  kids: [...kids].sort(),
});

// --- members of a line

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const text = (value: Members, name: string): string => {
  const member = value[name];
  if (typeof member !== 'string') throw new Unsound('malformed-line', `"${name}" is missing or no text`);
  return member;
};

const optional = (value: Members, name: string): string | undefined =>
  value[name] === undefined ? undefined : text(value, name);

const number = (value: Members, name: string): number => {
  const member = value[name];
  if (typeof member !== 'number') throw new Unsound('malformed-line', `"${name}" is missing or no number`);
  return member;
};

const hashes = (value: Members, name: string): readonly Sha256[] => {
  const list = value[name] ?? [];
  if (!Array.isArray(list)) throw new Unsound('malformed-line', `"${name}" is no list of hashes`);
  return list.map((each) => sha256(String(each)));
};
