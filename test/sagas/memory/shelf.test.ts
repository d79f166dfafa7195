import { memorySagaShelf } from '#sagas/memory/shelf.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { sagaShelfContract } from '#test/contracts/saga-shelf.contract.ts';

describe('sagas/memory: the shelf', () => {
  sagaShelfContract(async () => {
    const heads = new Map<TenantId, Seq>();
    return {
      shelf: memorySagaShelf(async () => [...heads].map(([tenant, seq]) => ({ tenant, seq }))),
      hold: async (tenant, facts) => void heads.set(tenant, facts as Seq),
      [Symbol.asyncDispose]: async () => undefined,
    };
  });
});
