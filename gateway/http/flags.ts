// GET /flags: a tenant's flags, for services that evaluate them. Asked every few seconds by each of them: the tag is that
// of the flags and of nothing else, so that a busy ledger does not change it. POST /flags/{feature}/observations: what
// reporters have seen of a ramp.
import { type FlagRefusal, flags, type Reading } from '#commands/flags.ts';
import type { ListFlags } from '#projectors/postgres/flag-list.ts';
import { feature } from '#schemas/flags.ts';
import type { Instant } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { flagSpec } from '../flags/spec.ts';
import { type ObservationBody, observationSchema, type ReadingBody } from './admin-bodies.ts';
import { bodyReader, changeBy, changeReply, keyParameter, RECORDED_ANSWERS } from './admin-command.ts';
import type { Caller } from './auth.ts';
import { digestTag, isKnown, notModified, tagged } from './conditional.ts';
import type { Operation } from './operation.ts';
import { type ProblemCode, problem } from './problems.ts';
import { isProblem } from './query.ts';
import { type Call, JSON_TYPE, jsonReply, problemReply, type Reply, type Route } from './route.ts';

export const flagsOperation = {
  id: 'getFlags',
  subject: 'flags',
  summary: "The tenant's flags: of each feature, how many get it.",
  description:
    'From the read model, which follows the ledger. Who is among them is worked out by whoever asks: docs/domains/flags.md.',
  answers: {
    200: {
      description: 'The flags in force.',
      headers: { ETag: 'for If-None-Match: no flag has moved since' },
      media: [
        {
          type: 'application/json',
          schema: 'FlagSpec',
          example: {
            format: 'prov-ledger/flags@1',
            tenant: 'acme',
            flags: { 'new-checkout': { pct: 10, frozen: false, seq: 4711 } },
          },
        },
      ],
    },
    304: { description: 'They are as they were.' },
  },
  problems: ['store-mismatch'],
} as const satisfies Operation;

const getFlags =
  (list: ListFlags) =>
  async (call: Call, { tenant }: Caller): Promise<Reply> => {
    const reply = jsonReply(flagSpec(tenant, await list(tenant)));
    const tag = digestTag(reply.body as string);
    return isKnown(call, tag)
      ? notModified(tag, { type: JSON_TYPE }, 'until-asked')
      : tagged(tag, reply, 'until-asked');
  };

export const observeOperation = {
  id: 'observeRamp',
  records: ['flags.RampObserved'],
  subject: 'flags',
  summary: 'Tells a ramp what was seen: requests that failed, with the feature and without.',
  description:
    'Figures as their source writes them, NaN and +Inf too; one that is left out is an empty series. What is no number freezes the flag.',
  parameters: {
    feature: {
      in: 'path',
      description: 'the feature or route, percent-encoded',
      schema: feature,
      example: 'new-checkout',
    },
    'Idempotency-Key': keyParameter,
  },
  body: [
    {
      type: 'application/json',
      schema: 'RampObservation',
      example: {
        window_from: '2026-11-21T09:59:00Z',
        window_to: '2026-11-21T10:00:00Z',
        exposed: { requests: 2_000, errors: 3 },
        control: { requests: 18_000, errors: 20 },
        source: 'prometheus',
      },
    },
  ],
  answers: RECORDED_ANSWERS,
  problems: [
    'no-such-flag',
    'ramp-forbids',
    'no-such-tenant',
    'body-malformed',
    'idempotency-key-malformed',
    'idempotency-key-taken',
  ],
} as const satisfies Operation;

const readObservation = bodyReader<ObservationBody>(observationSchema);

const observe =
  ({ store, clock }: FlagParts) =>
  async (call: Call, caller: Caller): Promise<Reply> => {
    const { tenant, tokenId } = caller;
    const body = readObservation(call);
    if (isProblem(body)) return problemReply(body, call.requestId);
    const { feature: name = '' } = call.params;
    if (!/^[!-~]{1,128}$/.test(name))
      return problemReply(problem('no-such-flag', `${tenant} has no such flag`), call.requestId);
    const command = {
      type: 'ObserveRamp',
      feature: name,
      of: body.of ?? tenant,
      windowFrom: body.window_from,
      windowTo: body.window_to,
      exposed: readingOf(body.exposed),
      control: readingOf(body.control),
      source: body.source ?? tokenId.slice(0, 256),
    } as const;
    const done = await changeBy(
      { store, clock },
      { call, caller },
      { tenant, command, decider: flags, codes: REFUSALS },
    );
    if (isProblem(done)) return problemReply(done, call.requestId);
    return { ...changeReply(done), status: 201 };
  };

const readingOf = ({ requests, errors }: ReadingBody = {}): Reading => ({
  ...(requests !== undefined && { requests: String(requests) }),
  ...(errors !== undefined && { errors: String(errors) }),
});

const REFUSALS: { readonly [name in FlagRefusal['refusal']]: ProblemCode } = {
  FlagUnknown: 'no-such-flag',
  FlagRetired: 'no-such-flag',
  FlagFrozen: 'ramp-forbids',
  FlagNotFrozen: 'ramp-forbids',
  NotAPerson: 'ramp-forbids',
  RampRunning: 'ramp-forbids',
  NoRampRunning: 'ramp-forbids',
  RampMovedOn: 'ramp-forbids',
  StepsNotAscending: 'ramp-forbids',
  NotObserved: 'ramp-forbids',
  WindowUnsound: 'ramp-forbids',
};

export interface FlagParts {
  readonly store: Pick<StreamStore, 'append' | 'find' | 'readStream'>;
  readonly clock: () => Instant;
  /** From the read model. */
  readonly listFlags: ListFlags;
}

export const flagRoutes = (parts: FlagParts): readonly Route[] => [
  {
    method: 'POST',
    path: '/flags/{feature}/observations',
    guard: { scope: 'flags:report' },
    about: observeOperation,
    handle: observe(parts),
  },
  {
    method: 'GET',
    path: '/flags',
    guard: { scope: 'flags:read' },
    about: flagsOperation,
    handle: getFlags(parts.listFlags),
  },
];
