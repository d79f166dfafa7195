// GET /flags: a tenant's flags, for services that evaluate them. Asked every few seconds by each of them: the tag is that
// of the flags and of nothing else, so that a busy ledger does not change it.
import type { ListFlags } from '#projectors/postgres/flag-list.ts';
import { flagSpec } from '../flags/spec.ts';
import type { Caller } from './auth.ts';
import { digestTag, isKnown, notModified, tagged } from './conditional.ts';
import type { Operation } from './operation.ts';
import { type Call, JSON_TYPE, jsonReply, type Reply, type Route } from './route.ts';

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

export interface FlagParts {
  /** From the read model. */
  readonly listFlags: ListFlags;
}

export const flagRoutes = ({ listFlags }: FlagParts): readonly Route[] => [
  {
    method: 'GET',
    path: '/flags',
    guard: { scope: 'flags:read' },
    about: flagsOperation,
    handle: getFlags(listFlags),
  },
];
