// How far each graph is with each tenant, and letting one that has halted try again.
import type { AnyGraphProjector } from '#projectors/graph/graph.ts';
import type { TenantId } from '#schemas/ids.ts';
import type { Graph } from './connect.ts';
import { CHECKPOINT } from './schema.ts';
import { named } from './sink.ts';

/** False: it had not halted. Throws `StreamError`. */
export const resumeGraph = async (
  graph: Graph,
  projector: AnyGraphProjector,
  tenant: TenantId,
): Promise<boolean> => {
  const records = await graph.query(
    `MATCH (c:${CHECKPOINT} {projection: $name, version: $version, tenant: $tenant}) WHERE c.fault_seq IS NOT NULL
     REMOVE c.fault_seq, c.fault_id, c.fault_message RETURN c.tenant`,
    { ...named(projector), tenant },
  );
  return records.length > 0;
};
