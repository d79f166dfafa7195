// A ledger on PostgreSQL that takes messages, with tenants; and messages of receipts without a broker.
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { runCommand } from '#commands/run.ts';
import { tenants } from '#commands/tenants.ts';
import { conflictRecord } from '#gateway/kafka/records.ts';
import { messageGates } from '#gateway/tenancy/write-gate.ts';
import { PROJECTION_MIGRATIONS } from '#projectors/postgres/read-models.ts';
import { canonicalize } from '#proofs/canonical.ts';
import type { VerificationKey } from '#proofs/keys/public-key.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import { toAvro } from '#schemas/codec.ts';
import { type Instant, type TenantId, tenantId } from '#schemas/ids.ts';
import type { Receipt } from '#schemas/receipts.ts';
import { framed } from '#streams/kafka/registry.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { LEDGER_MIGRATIONS, migrate } from '#streams/postgres/migrate.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { appendTogether, type Together } from '#streams/postgres/together.ts';
import type { Gates } from '#streams/postgres/transport/gates.ts';
import { type Intake, postgresIntake } from '#streams/postgres/transport/intake.ts';
import type { Message } from '#streams/postgres/transport/message.ts';
import { TRANSPORT_MIGRATIONS } from '#streams/postgres/transport/migrations.ts';
import type { StreamStore } from '#streams/stream.ts';
import { type DatabaseTemplate, freshDatabase } from './postgres.ts';
import { testSigner } from './test-signer.ts';

/** A ledger's database with the schema of topics. */
export const transportTemplate: DatabaseTemplate = {
  name: 'transport',
  prepare: async (connection) => {
    const owner = new pg.Pool({ ...connection, max: 1 });
    await migrate(owner, [LEDGER_MIGRATIONS, PROJECTION_MIGRATIONS, TRANSPORT_MIGRATIONS]);
    await owner.end();
  },
};

export interface TransportLedger extends AsyncDisposable {
  readonly url: string;
  readonly pool: Pool;
  readonly signer: Signer;
  readonly keys: readonly VerificationKey[];
  readonly store: StreamStore;
  readonly together: Together;
  readonly intake: Intake;
  readonly gates: Gates;
  /** As another process would take messages into the same ledger. */
  readonly another: () => { readonly together: Together; readonly intake: Intake; readonly gates: Gates };
}

export const createTenant = async (store: StreamStore, tenant: TenantId): Promise<void> => {
  const outcome = await runCommand(
    { store, decider: tenants },
    { type: 'CreateTenant', displayName: tenant },
    { tenant, actor: 'test', at: Date.UTC(2026, 10, 21, 8) as Instant, key: randomUUID() },
  );
  if (outcome.kind !== 'recorded') throw new Error(`the tenant was not made: ${outcome.kind}`);
};

export const transportLedger = async (...names: readonly string[]): Promise<TransportLedger> => {
  await using opening = new AsyncDisposableStack();
  const database = opening.use(await freshDatabase({ template: transportTemplate }));
  const pool = connect({ url: database.url, max: 8, role: RUNTIME_ROLE, name: 'transport test' });
  opening.defer(() => pool.end());
  const { signer, keys } = testSigner();
  const store = opening.use(await postgresStreamStore({ pool, signer }));
  for (const name of names) await createTenant(store, tenantId(name));
  const another = () => {
    const together = appendTogether({ pool, ledgerId: store.ledgerId, signer });
    const gates = messageGates(store);
    return {
      together,
      gates,
      intake: postgresIntake({ pool, together, gates, noteConflict: conflictRecord }),
    };
  };
  const open = opening.move();
  return {
    url: database.url,
    pool,
    signer,
    keys,
    store,
    ...another(),
    another,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};

export const aReceipt = (given: Partial<Receipt> = {}): Receipt => ({
  id: randomUUID(),
  action: 'db.export',
  actor: 'svc-export',
  tenant: 'acme',
  decision: 'allow',
  created_at: '2026-11-21T10:00:00Z',
  ...given,
});

/** The value of a receipt's message, framed with an id. */
export const receiptValue = (receipt: Receipt, schemaId = 1): Buffer =>
  framed(schemaId, toAvro('receipts.ReceiptRecorded', receipt, canonicalize));

export const messageAt = (offset: number, given: Partial<Message> = {}): Message => ({
  topic: 'provenance.receipts.v1',
  partition: 0,
  offset,
  key: Buffer.from('acme'),
  value: Buffer.from('nonsense'),
  headers: [],
  sentAt: 1_763_715_600_000,
  ...given,
});
