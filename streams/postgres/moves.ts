// The fence of a tenant that moves between two databases. Each step is one compare-and-swap on the tenant's head, with the
// epoch of the move: appends wait for it or it for them, and a mover that slept through a later move changes nothing.
//
//   here --close--> leaving --giveUp--> gone        in the database that has it
//   (none, gone) --await--> arriving --open--> here in the one that takes it
import type { ChainPosition } from '#proofs/chain.ts';
import type { TenantId } from '#schemas/ids.ts';
import { CarryError } from '#streams/carry.ts';
import { type Pool, streamError, transaction } from './connect.ts';
import { readHeads, type Standing } from './reader.ts';

export interface TenantFence {
  /** Nothing where the database never had the tenant. */
  readonly standing: (tenant: TenantId) => Promise<Standing | undefined>;
  /** The tenant's facts may be brought here. */
  readonly await: (tenant: TenantId, epoch: number) => Promise<void>;
  /** From now on appends are refused; those before are done. */
  readonly close: (tenant: TenantId, epoch: number) => Promise<void>;
  /** Appends go in again: the move was not to be. */
  readonly reopen: (tenant: TenantId, epoch: number) => Promise<void>;
  /** For ever, until it comes back; only while the chain ends where `end` says. */
  readonly giveUp: (tenant: TenantId, epoch: number, end: ChainPosition) => Promise<void>;
  /** What arrived takes appends. */
  readonly open: (tenant: TenantId, epoch: number) => Promise<void>;
}

/** Each throws `CarryError` `overtaken` where a later move has begun, or the head is not where it must be; `StreamError`. */
export const tenantFence = (pool: Pool): TenantFence => {
  const move = async (tenant: TenantId, text: string, values: readonly unknown[]): Promise<void> => {
    const moved = await transaction(pool, async (client) => {
      const { rowCount } = await client.query(text, [tenant, ...values]);
      await client.query("SELECT pg_notify('ledger_facts', '')");
      return rowCount;
    }).catch((error: unknown) => {
      throw streamError(error);
    });
    if (moved !== 1)
      throw new CarryError(
        'overtaken',
        `${tenant}: another move of it has begun, or its chain does not end where it was brought to; run the command again`,
      );
  };
  const set = (from: string, to: Standing): string =>
    `UPDATE ledger.heads SET standing = '${to}', epoch = $2
     WHERE tenant = $1 AND epoch <= $2 AND standing IN (${from})`;
  return {
    standing: async (tenant) => {
      try {
        return (await readHeads(pool, [tenant]))[0]?.standing;
      } catch (error) {
        throw streamError(error);
      }
    },
    await: async (tenant, epoch) => {
      await move(
        tenant,
        `INSERT INTO ledger.heads AS h (tenant, seq, hash, recorded_at, standing, epoch)
         VALUES ($1, 0, decode(repeat('00', 32), 'hex'), 'epoch', 'arriving', $2)
         ON CONFLICT (tenant) DO UPDATE SET standing = 'arriving', epoch = $2
         WHERE h.epoch <= $2 AND (h.standing IN ('gone', 'arriving') OR h.seq = 0)`,
        [epoch],
      );
    },
    close: (tenant, epoch) => move(tenant, set(`'here', 'leaving'`, 'leaving'), [epoch]),
    reopen: (tenant, epoch) => move(tenant, set(`'here', 'leaving'`, 'here'), [epoch]),
    giveUp: (tenant, epoch, { seq, hash }) =>
      move(tenant, `${set(`'leaving', 'gone'`, 'gone')} AND seq = $3 AND hash = decode($4, 'hex')`, [
        epoch,
        seq,
        hash,
      ]),
    open: (tenant, epoch) => move(tenant, set(`'arriving', 'here'`, 'here'), [epoch]),
  };
};
