// The words of the wire, as the package publishes them. They are written out here so that the package's types need no
// other package; test/gateway/sdk/types.test.ts holds each to the schema or the type it stands for.

/** A receipt as a service records it: `id` and `created_at` are made when they are left out, `tenant` is the token's. */
export interface ReceiptBody {
  /** 1 to 128 visible ASCII characters, unique within the tenant: recorded twice, it counts once. */
  id?: string;
  /** What was asked for, for example db.export. */
  action: string;
  /** Who asked. */
  actor: string;
  tenant?: string;
  decision: 'allow' | 'deny';
  /** RFC 3339 with its offset. */
  created_at?: string;
  /** What the decision was made from. */
  inputs?: { [x: string]: unknown };
  region?: string;
  kid?: string;
  /** The operation this action belongs to. */
  op_id?: string;
  /** The operation that caused this one. */
  op_parent_id?: string;
  /** Bare SHA-256 digits, or an algorithm's name, a colon and digits. */
  evidence_hash?: string;
  policy_version?: string;
  selective_fields?: string[];
  proofs?: ({ type: string } & { [x: string]: unknown })[];
  /** Members of your own. */
  ext?: { [x: string]: unknown };
}

/** A receipt, its place in the chain and its proof: what `verifyReceipt` takes. */
export interface ReceiptBundle {
  readonly format: 'prov-ledger/receipt@1';
  readonly fact: FactDocument;
  readonly proof: ProofDocument;
}

/** Times are RFC 3339 in UTC with milliseconds; hashes are SHA-256 in lower-case hexadecimal. */
export interface FactDocument {
  readonly tenant: string;
  readonly seq: number;
  readonly id: string;
  readonly type: string;
  readonly schema_version: number;
  readonly stream?: string;
  readonly occurred_at: string;
  readonly recorded_at: string;
  readonly actor: string;
  readonly op_id?: string;
  readonly op_parent_id?: string;
  readonly region?: string;
  /** The exact text whose UTF-8 bytes were hashed: RFC 8785 canonical JSON. */
  readonly payload: string;
  readonly prev_hash: string;
  readonly hash: string;
}

export interface ProofDocument {
  readonly ledger_id: string;
  readonly signed_at: string;
  readonly tenant_count: number;
  readonly batch_fact_count: number;
  readonly root: string;
  readonly kid: string;
  /** base64url without padding, 64 bytes. */
  readonly signature: string;
  readonly path: {
    readonly fact_index: number;
    readonly fact_count: number;
    readonly fact_path: readonly string[];
    readonly tenant_index: number;
    readonly tenant_path: readonly string[];
  };
}

/** The end of a tenant's chain, signed. Keep it outside the ledger: a later chain must contain it. */
export interface HeadDocument {
  readonly tenant: string;
  readonly seq: number;
  readonly hash: string;
  readonly recorded_at: string;
  readonly proof: ProofDocument;
}

export interface KeySet {
  readonly keys: readonly {
    readonly kid: string;
    readonly kty: string;
    readonly [member: string]: unknown;
  }[];
}

export type CheckName = 'format' | 'payload' | 'fact-hash' | 'batch-path' | 'trusted-key' | 'signature';

export interface Check {
  readonly name: CheckName;
  readonly ok: boolean;
  /** What was found, in words; on failure what it means. */
  readonly detail: string;
}

export interface Verification {
  /** True only when every check is. */
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

/** RFC 9457, as the service sends it. */
export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** What the caller does about it. */
  readonly todo: string;
  readonly instance: string;
  readonly code: string;
  readonly [member: string]: unknown;
}

/** One receipt in the ledger. `repeated`: it was there already, with the same content. */
export interface RecordedReceipt {
  readonly status: 'recorded' | 'repeated';
  readonly id: string;
  /** Its place in the tenant's chain, from 1. */
  readonly seq: number;
  readonly hash: string;
}

/** A tenant's flags, as `GET /v1/flags` gives them. */
export interface FlagSpec {
  readonly format: 'prov-ledger/flags@1';
  readonly tenant: string;
  /** By feature. Those that were retired are not there. */
  readonly flags: { readonly [feature: string]: FlagEntry };
}

export interface FlagEntry {
  /** In a hundred subjects, how many get the feature. */
  readonly pct: number;
  /** Held where it is. */
  readonly frozen: boolean;
  /** Place in the tenant's chain of the fact that it is so by. */
  readonly seq: number;
}
