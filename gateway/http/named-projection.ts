// What every path about one read model begins with: it is for operators, and the read model is there.
import type { TenantId } from '#schemas/ids.ts';
import type { ReadModels } from '../projections/read-models.ts';
import { ofTenantSchema } from './admin-bodies.ts';
import { type AdminParts, bodyReader, forOperators, noSuchTenant } from './admin-command.ts';
import type { Caller } from './auth.ts';
import { type Problem, problem } from './problems.ts';
import { isProblem } from './query.ts';
import { type Call, problemReply, type Reply } from './route.ts';

export const PROJECTIONS_SCOPE = 'projections:admin';
export const PROJECTIONS_GUARD = { scope: PROJECTIONS_SCOPE } as const;

export const projectionParameter = {
  in: 'path',
  description: 'the read model',
  schema: { type: 'string', pattern: '^[a-z][a-z0-9_]{0,62}$', description: 'the name of a read model' },
  example: 'receipts_daily',
} as const;

/** Of what is done for all tenants, or for one. */
export const OF_TENANT_BODY = [
  { type: 'application/json', schema: 'OfTenant', example: { tenant: 'acme' } },
] as const;

/** For the read model that the path names. */
export const forReadModel = (
  { readModels }: { readonly readModels: Pick<ReadModels, 'names'> },
  handle: (call: Call, name: string, caller: Caller) => Promise<Reply | Problem>,
) =>
  forOperators(PROJECTIONS_SCOPE, async (call, caller) => {
    const { projection: name = '' } = call.params;
    const { names } = readModels;
    const done = names.includes(name)
      ? await handle(call, name, caller)
      : problem('no-such-projection', `there is no read model ${name.slice(0, 63)}`, { projections: names });
    return isProblem(done) ? problemReply(done, call.requestId) : done;
  });

const readOfTenant = bodyReader<{ readonly tenant?: TenantId }>(ofTenantSchema);

/** The tenant that the body names, if any. */
export const tenantInBody = async (
  { store }: { readonly store: Pick<AdminParts['store'], 'head'> },
  call: Call,
): Promise<{ readonly tenant?: TenantId } | Problem> => {
  const body = readOfTenant(call);
  if (isProblem(body) || body.tenant === undefined) return body;
  return (await store.head(body.tenant)) ? body : noSuchTenant(body.tenant);
};
