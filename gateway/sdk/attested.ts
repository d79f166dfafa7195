// `@prov-ledger/sdk/attested`: a command handler of a service that writes to two stores, wrapped so that every write leaves
// on record what it left in each of them, under its operation and the one that caused it. Where the write path of its
// route is closed, the handler is not called. Node and Bun.
import { differences } from '#projectors/attestation/difference.ts';
import { type CanonicalElement, canonicalElement, type Observed } from '#projectors/attestation/element.ts';
import { bucketDigest } from '#projectors/attestation/tree.ts';
import { askUntilAnswered } from './asking.ts';
import { ClientError } from './errors.ts';
import { currentOperation, inOperation, type Operation } from './operation.ts';
import { pause, type RetryOptions } from './retry.ts';
import { type Transport, type TransportOptions, transport } from './transport.ts';
import { uuidMaker } from './uuid.ts';

/**
 * A value as a store holds it. A whole number is an integer, any other a float, a `Date` a moment, null is absent; what
 * the language cannot tell apart is said with its kind, for example `{ is: 'float', text: '5' }`. A `time` is
 * nanoseconds since 1970, `json` the text of a JSON value.
 */
export type HeldValue =
  | string
  | number
  | bigint
  | boolean
  | Date
  | null
  | undefined
  | readonly HeldValue[]
  | {
      readonly is: 'text' | 'int' | 'float' | 'bool' | 'time' | 'local-time' | 'date' | 'json' | 'other';
      readonly text: string;
    };

/** A row, a node or an edge: nothing in it that only its store knows, such as an internal id. */
export interface HeldElement {
  /** Its kind, the same in both stores: `Order`, `ORDERED_BY`. */
  readonly element: string;
  readonly id: string;
  /** Of an edge, the id of the node that it comes to. */
  readonly target?: string;
  readonly fields: { readonly [name: string]: HeldValue };
}

/** What an operation left in one store. */
export interface HeldBy {
  readonly store: string;
  readonly elements: readonly HeldElement[];
}

export interface AttestedOptions<Command, Result> extends TransportOptions {
  /** The route or job, for example POST:/v1/orders: gate, policy and alarms go by it. */
  readonly route: string;
  /** What the command wrote, asked of both stores after the handler: never of what the handler has in hand. */
  readonly mapper: (command: Command, result: Result) => Promise<readonly [HeldBy, HeldBy]>;
  /** Told of a write that could not be attested, and why. The write stands. */
  readonly onUnattested: (error: unknown, operation: Operation) => void;
  /** How long a store may lag behind the other before they differ, in milliseconds: 1,000 unless given. */
  readonly settleMs?: number;
  /** For how long an answer about the gate holds, in milliseconds: 1,000 unless given. */
  readonly gateMs?: number;
  /** Of the gate and of the report: 5,000 ms unless given. */
  readonly retry?: RetryOptions;
}

type Attesting<Command, Result> = AttestedOptions<Command, Result> & { readonly via: Transport };

const DIFFERENCES_MAX = 100;
const TEXT_MAX = 256;
const SETTLE_LOOKS = 10;

/** Rejects with ClientError `path-closed` before anything is written; else as the handler does. */
export const attested = <Command, Result>(
  handler: (command: Command) => Promise<Result>,
  options: AttestedOptions<Command, Result>,
): ((command: Command) => Promise<Result>) => {
  const attesting = { ...options, via: transport(options) };
  const assertOpen = gateOf(attesting);
  const newOpId = uuidMaker();
  return async (command) => {
    await assertOpen();
    const cause = currentOperation();
    const operation: Operation = {
      opId: newOpId(),
      opParentId: cause?.opId,
      traceparent: cause?.traceparent,
    };
    return await inOperation(operation, async () => {
      const result = await handler(command);
      try {
        await report(attesting, operation, await settled(attesting, command, result));
      } catch (error) {
        options.onUnattested(error, operation);
      }
      return result;
    });
  };
};

const RETRY: RetryOptions = { deadlineMs: 5_000 };

/** Asked anew when the last answer is too old; no answer is no leave. */
const gateOf = <C, R>({ via, route, gateMs = 1_000, retry = RETRY }: Attesting<C, R>) => {
  let known: { readonly at: number; readonly gate: Promise<unknown> } | undefined;
  return async (): Promise<void> => {
    const at = performance.now();
    if (!known || at - known.at >= gateMs)
      known = {
        at,
        gate: askUntilAnswered(
          (timeoutMs) => via.get(`/v1/gates/${encodeURIComponent(route)}`, { timeoutMs }),
          { retry },
        ),
      };
    const asked = known;
    const gate = await asked.gate.catch((cause: unknown) => {
      if (known === asked) known = undefined;
      const message = `nobody could say whether the write path of ${route} is open: ${(cause as Error).message}`;
      throw new ClientError('path-closed', message, { cause });
    });
    const { closed, reason } = gate as { readonly closed?: boolean; readonly reason?: string };
    if (closed !== false)
      throw new ClientError(
        'path-closed',
        `the write path of ${route} is closed: ${reason ?? 'no reason given'}`,
      );
  };
};

interface Side {
  readonly store: string;
  readonly elements: readonly CanonicalElement[];
  readonly digest: string;
}

const sideOf = ({ store, elements }: HeldBy): Side => {
  const canonical = elements.map(({ element, id, target = '', fields }) => {
    const held = Object.entries(fields).map(([name, value]) => [name, observed(value)] as const);
    return canonicalElement({ element, id, target, seq: undefined, fields: Object.fromEntries(held) });
  });
  return { store, elements: canonical, digest: bucketDigest(canonical.map(({ digest }) => digest)).digest };
};

const observed = (value: HeldValue): Observed | undefined => {
  if (value === null || value === undefined) return undefined;
  switch (typeof value) {
    case 'string':
      return { is: 'text', text: value };
    case 'boolean':
      return { is: 'bool', text: String(value) };
    case 'bigint':
      return { is: 'int', text: String(value) };
    case 'number':
      return { is: Number.isInteger(value) ? 'int' : 'float', text: String(value) };
    default:
  }
  if (value instanceof Date) return { is: 'time', text: String(BigInt(value.getTime()) * 1_000_000n) };
  if ('is' in value) return value;
  return { is: 'list', items: value.map((item) => observed(item) ?? { is: 'other', text: 'null' }) };
};

/** Both stores, looked at again while they differ: one that follows the other only lags. */
const settled = async <C, R>(
  { mapper, settleMs = 1_000 }: Attesting<C, R>,
  command: C,
  result: R,
): Promise<readonly [Side, Side]> => {
  for (let look = 0; ; look += 1) {
    const [left, right] = await mapper(command, result);
    const sides = [sideOf(left), sideOf(right)] as const;
    if (sides[0].digest === sides[1].digest || look >= SETTLE_LOOKS) return sides;
    await pause(settleMs / SETTLE_LOOKS);
  }
};

const report = async <C, R>(
  { via, route, retry = RETRY }: Attesting<C, R>,
  { opId, opParentId, traceparent }: Operation,
  [left, right]: readonly [Side, Side],
): Promise<void> => {
  const apart = differences(left.elements, right.elements);
  const document = {
    route,
    op_id: opId,
    ...(opParentId !== undefined && { op_parent_id: opParentId }),
    left: { store: left.store, digest: left.digest },
    right: { store: right.store, digest: right.digest },
    elements: left.elements.length,
    divergent: new Set(apart.map(({ element }) => element)).size,
    ...(apart.length > 0 && {
      differences: apart.slice(0, DIFFERENCES_MAX).map(({ class: kind, element, field, ...digests }) => ({
        class: kind,
        element: element.slice(0, TEXT_MAX),
        ...(field !== undefined && { field: field.slice(0, TEXT_MAX) }),
        ...(digests.leftDigest !== undefined && { left_digest: digests.leftDigest }),
        ...(digests.rightDigest !== undefined && { right_digest: digests.rightDigest }),
      })),
    }),
  };
  await askUntilAnswered(
    (timeoutMs) => via.send('/v1/attestations', document, { key: opId, timeoutMs, traceparent }),
    { retry },
  );
};
