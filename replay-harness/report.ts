// The report of a replay: an in-toto statement (v1) in a DSSE envelope, signed by a key of the ledger. Its subject is the
// history, by a digest over heads, counts and Merkle roots, which cover every fact; its predicate says which program came
// to what, on which machine, and how fast.
import { hash } from 'node:crypto';
import { canonicalize, type JsonValue, parseStrict } from '#proofs/canonical.ts';
import { type Envelope, type EnvelopeFault, openEnvelope, sealEnvelope } from '#proofs/dsse.ts';
import type { VerificationKey } from '#proofs/keys/public-key.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import type { ReplayFeed } from './feed.ts';
import type { Expectation } from './fixtures/format.ts';
import type { Halted, ReplayFault } from './lane-messages.ts';
import type { Measured } from './measures.ts';
import type { MachineIdentity, ProgramIdentity } from './program.ts';
import type { SagaOutcome } from './reactions.ts';
import { differencesOf, type ReplayResult, type Verdict } from './replay.ts';

export const PAYLOAD_TYPE = 'application/vnd.in-toto+json';
const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
export const PREDICATE_TYPE = 'urn:prov-ledger:replay:1';

export interface ReplayPredicate {
  readonly verdict: Verdict;
  /** RFC 3339. */
  readonly finished_at: string;
  readonly source: { readonly kind: ReplayFeed['kind']; readonly store: 'memory' | 'postgres' };
  readonly settings: { readonly workers: number; readonly batch_size: number };
  readonly program: ProgramIdentity;
  readonly machine: MachineIdentity;
  readonly outcome: Expectation;
  /** Whether the history said what must come out. */
  readonly compared: boolean;
  readonly differences: readonly string[];
  readonly fault?: ReplayFault | undefined;
  readonly halts: readonly Halted[];
  /** Absent from reports of before sagas were replayed. */
  readonly sagas?: readonly SagaOutcome[] | undefined;
  readonly measured: Measured;
}

export interface ReplayStatement {
  readonly _type: typeof STATEMENT_TYPE;
  readonly subject: readonly [{ readonly name: string; readonly digest: { readonly sha256: string } }];
  readonly predicateType: typeof PREDICATE_TYPE;
  readonly predicate: ReplayPredicate;
}

/** SHA-256 over the canonical JSON of the outcome without the read models: what the history is, not what follows. */
export const historyDigest = ({ models: _, ...history }: Expectation): string =>
  hash('sha256', canonicalize(history as unknown as JsonValue), 'hex');

export interface ReportOptions {
  /** Of the fixture, the export or the ledger. */
  readonly name: string;
  readonly result: ReplayResult;
  readonly about: Omit<ReplayPredicate, keyof Omit<ReplayResult, 'state'>>;
}

export const statementOf = ({ name, result, about }: ReportOptions): ReplayStatement => {
  const { verdict, outcome, compared, differences, fault, halts, sagas, measured } = result;
  return {
    _type: STATEMENT_TYPE,
    subject: [{ name, digest: { sha256: historyDigest(outcome) } }],
    predicateType: PREDICATE_TYPE,
    predicate: { ...about, verdict, outcome, compared, differences, fault, halts, sagas, measured },
  };
};

/** Throws `SigningFault`. */
export const signReport = (statement: ReplayStatement, signer: Signer): Promise<Envelope> => {
  // Through JSON once: what is signed has no member without a value.
  const plain = JSON.parse(JSON.stringify(statement)) as JsonValue;
  return sealEnvelope(signer, { payloadType: PAYLOAD_TYPE, body: Buffer.from(canonicalize(plain)) });
};

export type ReportFault =
  | EnvelopeFault
  /** It is signed, but is no report of a replay, or of a later form: use the program that wrote it. */
  | 'not-a-report'
  /** It is signed, and contradicts itself: what is named does not follow from what it says. */
  | 'inconsistent';

export type ReportVerdict =
  | { readonly ok: true; readonly statement: ReplayStatement; readonly kid: string }
  | { readonly ok: false; readonly fault: ReportFault; readonly message: string };

const EXPLAINED: { readonly [Fault in EnvelopeFault]: string } = {
  malformed: 'it is no DSSE envelope',
  'other-type': 'it holds another kind of document',
  'unknown-key': 'none of its signatures is by a key that is trusted',
  'bad-signature': 'its signature does not verify',
};

/** Checks the signature, and works out again what follows from the rest. `again` is what a replay came to just now. */
export const verifyReport = (
  envelope: unknown,
  keys: readonly VerificationKey[],
  again?: Expectation,
): ReportVerdict => {
  const opened = openEnvelope(envelope, { payloadType: PAYLOAD_TYPE, keys });
  if (!opened.ok) return { ok: false, fault: opened.fault, message: EXPLAINED[opened.fault] };
  const parsed = parseStrict(opened.body.toString('utf8'), { maxBytes: 16 << 20 });
  const statement = (parsed.ok ? parsed.value : undefined) as unknown as ReplayStatement | undefined;
  if (statement?._type !== STATEMENT_TYPE || statement.predicateType !== PREDICATE_TYPE)
    return { ok: false, fault: 'not-a-report', message: 'it is signed, but is no report of a replay' };
  const message = inconsistency(statement, again);
  return message === undefined
    ? { ok: true, statement, kid: opened.kid }
    : { ok: false, fault: 'inconsistent', message };
};

/** The first thing that does not follow. */
const inconsistency = ({ subject, predicate }: ReplayStatement, again?: Expectation): string | undefined => {
  const { outcome, verdict, differences, fault, compared, sagas = [], measured } = predicate;
  const { facts, repeats, conflicts, arrivals } = outcome;
  const digest = historyDigest(outcome);
  if (subject[0].digest.sha256 !== digest)
    return `its subject is another history than its outcome, ${digest}`;
  if (facts + repeats + conflicts !== arrivals) return 'its counts do not add up';
  const differs = differences.length > 0 || sagas.some(({ unasked }) => unasked.length > 0);
  const follows = fault ? 'unsound' : differs ? 'differs' : 'sound';
  if (verdict !== follows && verdict !== 'interrupted')
    return `its verdict is ${verdict}, what it lists is ${follows}`;
  if (differences.length > 0 && !compared)
    return 'it lists differences from an expectation that it did not have';
  if (Math.abs(measured.factsPerSecond * measured.seconds - measured.facts) > measured.facts * 0.01 + 1)
    return 'its rate is not its facts over its seconds';
  const other = again ? differencesOf(outcome, again) : [];
  return other.length > 0 ? `the same history now comes to something else: ${other.join('; ')}` : undefined;
};
