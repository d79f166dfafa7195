// Services that attest their own writes: POST /attestations, what one operation left in both stores; GET /gates/{route},
// whether it may write at all. A write that left different things is an attestation that found a difference, at its own
// place in the chain: from there on it is the drift saga's.
import { type AttestationRefusal, attestations } from '#commands/attestations.ts';
import type { Attested } from '#projectors/attestation/attest.ts';
import type { Difference } from '#projectors/attestation/difference.ts';
import { type DriftClass, route } from '#schemas/attestations.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Instant } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { recordAttestation } from '../attestation/record.ts';
import { readGate } from '../tenancy/write-gate.ts';
import { writeAttestationSchema } from './admin-bodies.ts';
import {
  bodyReader,
  changeBy,
  changeReply,
  keyParameter,
  NO_STORE,
  RECORDED_ANSWERS,
} from './admin-command.ts';
import type { Caller } from './auth.ts';
import type { Operation } from './operation.ts';
import { type ProblemCode, problem } from './problems.ts';
import { isProblem } from './query.ts';
import { type Call, jsonReply, problemReply, type Reply, type Route } from './route.ts';

const digest = (of: string) => of.repeat(64);

export const attestationOperations = {
  attest: {
    id: 'attestWrite',
    records: ['attestations.WriteAttested', 'attestations.AttestationRecorded', 'attestations.DriftLocated'],
    subject: 'attestation',
    summary: 'What one operation of a service left in both of its stores.',
    description:
      'Where the digests differ it is put on record as an attestation that found a difference too, which raises an alarm and closes the write path of the route.',
    parameters: { 'Idempotency-Key': keyParameter },
    body: [
      {
        type: 'application/json',
        schema: 'WriteAttestation',
        example: {
          route: 'POST:/v1/orders',
          op_id: 'order-4711',
          op_parent_id: 'checkout-17',
          left: { store: 'postgres', digest: digest('a') },
          right: { store: 'neo4j', digest: digest('a') },
          elements: 3,
          divergent: 0,
        },
      },
    ],
    answers: RECORDED_ANSWERS,
    problems: [
      'attestation-not-borne-out',
      'no-such-tenant',
      'body-malformed',
      'idempotency-key-malformed',
      'idempotency-key-taken',
    ],
  },
  gate: {
    id: 'getGate',
    subject: 'attestation',
    summary: 'Whether the write path of a route is open for the tenant.',
    parameters: {
      route: {
        in: 'path',
        description: 'the route, percent-encoded',
        schema: route,
        example: 'POST:/v1/orders',
      },
    },
    answers: {
      200: { description: 'How it stands.', media: [{ type: 'application/json', schema: 'Gate' }] },
    },
    problems: ['no-such-route'],
  },
} as const satisfies { readonly [name: string]: Operation };

interface WriteAttestationBody {
  readonly route: string;
  readonly op_id: string;
  readonly op_parent_id?: string;
  readonly left: { readonly store: string; readonly digest: string };
  readonly right: { readonly store: string; readonly digest: string };
  readonly elements: number;
  readonly divergent: number;
  readonly differences?: readonly {
    readonly class: DriftClass;
    readonly element: string;
    readonly field?: string;
    readonly left_digest?: string;
    readonly right_digest?: string;
  }[];
}

export interface AttestationParts {
  readonly store: Pick<StreamStore, 'append' | 'find' | 'readStream'>;
  readonly clock: () => Instant;
}

const readBody = bodyReader<WriteAttestationBody>(writeAttestationSchema);

const postAttestation =
  ({ store, clock }: AttestationParts) =>
  async (call: Call, caller: Caller): Promise<Reply> => {
    const body = readBody(call);
    if (isProblem(body)) return problemReply(body, call.requestId);
    const { route: of, op_id: opId, op_parent_id: opParentId, left, right, elements, divergent } = body;
    const done = await changeBy(
      { store, clock },
      { call, caller },
      {
        tenant: caller.tenant,
        command: { type: 'AttestWrite', route: of, opId, left, right, elements, divergent },
        decider: attestations,
        codes: REFUSALS,
        lineage: { opId, opParentId },
      },
    );
    if (isProblem(done)) return problemReply(done, call.requestId);
    if (divergent > 0) {
      const { actor, recordedAt } = done.fact;
      // By the time of the fact: the same request sent again after a kill records the same once. It is refused where a later
      // write was found to differ meanwhile, which says the same of the route.
      const author = { actor, at: recordedAt, opParentId: opId };
      await recordAttestation(store, { route: of, attested: foundAt(done.fact, body) }, author);
    }
    return { ...changeReply(done), status: 201 };
  };

/** As the comparison of two stores that are both at the place of the fact. */
const foundAt = ({ tenant, seq }: Recorded, body: WriteAttestationBody): Attested => {
  const { left, right, elements, divergent, differences = [] } = body;
  return {
    tenant,
    asOf: seq,
    verdict: 'divergent',
    left: { store: left.store, seq, root: left.digest },
    right: { store: right.store, seq, root: right.digest },
    elements,
    read: 0,
    divergent,
    differences: differences.map(
      ({ class: kind, element, field, left_digest, right_digest }): Difference => ({
        class: kind,
        element,
        ...(field !== undefined && { field }),
        ...(left_digest !== undefined && { leftDigest: left_digest }),
        ...(right_digest !== undefined && { rightDigest: right_digest }),
      }),
    ),
  };
};

const REFUSALS: { readonly [name in AttestationRefusal['refusal']]: ProblemCode } = {
  WriteAlreadyAttested: 'attestation-not-borne-out',
  DivergenceNotBorneOut: 'attestation-not-borne-out',
  AttestationOutdated: 'attestation-not-borne-out',
  DriftNotAttested: 'attestation-not-borne-out',
  DriftAlarmAlreadyRaised: 'attestation-not-borne-out',
  BackfillFallsShort: 'attestation-not-borne-out',
  SpanOutOfOrder: 'attestation-not-borne-out',
};

const getGate =
  ({ store }: AttestationParts) =>
  async (call: Call, { tenant }: Caller): Promise<Reply> => {
    const { route: of = '' } = call.params;
    if (!/^[!-~]{1,128}$/.test(of))
      return problemReply(problem('no-such-route', 'a route is 1 to 128 visible characters'), call.requestId);
    const { closed, epoch, reason } = await readGate(store, tenant, of);
    return jsonReply({ tenant, route: of, closed, epoch, ...(closed && { reason }) }, 200, NO_STORE);
  };

const GUARD = { scope: 'attestations:report' } as const;

export const attestationRoutes = (parts: AttestationParts): readonly Route[] => [
  {
    method: 'POST',
    path: '/attestations',
    guard: GUARD,
    about: attestationOperations.attest,
    handle: postAttestation(parts),
  },
  {
    method: 'GET',
    path: '/gates/{route}',
    guard: GUARD,
    about: attestationOperations.gate,
    handle: getGate(parts),
  },
];
