// How far the ledger was sent to a topic, kept by the one relay whose turn it is. The turn is a lock of its session, and
// what was sent is noted over that very session: a relay that was paused and lost its turn can note nothing any more.
import { setTimeout as pause } from 'node:timers/promises';
import { GENESIS_HASH } from '#proofs/chain.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { type Client, type Pool, type Queryable, streamError, withClient } from '../connect.ts';
import { headsElsewhere, type LedgerDatabases } from '../databases.ts';
import { READABLE } from '../reader.ts';

/** The last fact of a tenant that a broker has acknowledged, and where its message stands. */
export interface Relayed {
  readonly tenant: TenantId;
  /** 0: nothing was sent, or everything is to be sent again. */
  readonly seq: Seq;
  readonly hash: Sha256;
  readonly partition: number | undefined;
  readonly offset: number | undefined;
}

/** Every method throws `StreamError`; `unavailable` also when the turn is lost. */
export interface RelayTurn extends AsyncDisposable {
  readonly sent: (topic: string) => Promise<readonly Relayed[]>;
  readonly note: (topic: string, sent: readonly Relayed[]) => Promise<void>;
  /** The topic holds nothing of what was sent: it is sent again from the first fact on. */
  readonly forget: (topic: string) => Promise<void>;
}

// An arbitrary constant: the class of the advisory locks by which relays take turns.
const LOCK_CLASS = 7_203_115;
const TURN_POLL_MS = 500;

/** Waits until no other relay serves the topic; `undefined` once the signal has ended the wait. Throws `StreamError`. */
export const relayTurn = async (
  pool: Pool,
  topic: string,
  signal: AbortSignal,
): Promise<RelayTurn | undefined> => {
  const client = await pool.connect().catch((error: unknown) => Promise.reject(streamError(error)));
  try {
    while (!signal.aborted) {
      if (await tryLock(client, topic)) return turnOn(client);
      await pause(TURN_POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  } catch (error) {
    client.release(true);
    throw streamError(error);
  }
  client.release();
  return undefined;
};

const tryLock = async (client: Client, topic: string): Promise<boolean> => {
  const { rows } = await client.query<{ mine: boolean }>(
    'SELECT pg_try_advisory_lock($1, hashtext($2)) AS mine',
    [LOCK_CLASS, topic],
  );
  return rows[0]?.mine === true;
};

const turnOn = (client: Client): RelayTurn => {
  const asked = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw streamError(error);
    }
  };
  return {
    sent: (topic) => asked(() => readRelayed(client, topic)),
    note: (topic, sent) => asked(() => noteRelayed(client, topic, sent)),
    forget: (topic) =>
      asked(async () => {
        await client.query(
          `UPDATE transport.relayed SET seq = 0, hash = decode($2, 'hex'), partition = NULL, message_offset = NULL
            WHERE topic = $1`,
          [topic, GENESIS_HASH],
        );
      }),
    // Ends the session, and with it the turn.
    [Symbol.asyncDispose]: async () => client.release(true),
  };
};

interface Row {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly hash: Sha256;
  readonly partition: number | null;
  readonly message_offset: number | null;
}

/** Throws what the driver does. */
export const readRelayed = async (client: Queryable, topic: string): Promise<readonly Relayed[]> => {
  const { rows } = await client.query<Row>(
    `SELECT tenant, seq, encode(hash, 'hex') AS hash, partition, message_offset FROM transport.relayed WHERE topic = $1`,
    [topic],
  );
  return rows.map(({ tenant, seq, hash, partition, message_offset }) => ({
    tenant,
    seq,
    hash,
    partition: partition ?? undefined,
    offset: message_offset ?? undefined,
  }));
};

const noteRelayed = async (client: Queryable, topic: string, sent: readonly Relayed[]): Promise<void> => {
  await client.query({
    name: 'note_relayed',
    text: `INSERT INTO transport.relayed (topic, tenant, seq, hash, partition, message_offset)
      SELECT $1, s.tenant, s.seq, decode(s.hash, 'hex'), s.partition, s.message_offset
      FROM unnest($2::text[], $3::bigint[], $4::text[], $5::int[], $6::bigint[])
        AS s (tenant, seq, hash, partition, message_offset)
      ON CONFLICT (topic, tenant) DO UPDATE SET seq = excluded.seq, hash = excluded.hash,
        partition = excluded.partition, message_offset = excluded.message_offset`,
    values: [
      topic,
      sent.map(({ tenant }) => tenant),
      sent.map(({ seq }) => seq),
      sent.map(({ hash }) => hash),
      sent.map(({ partition }) => partition ?? null),
      sent.map(({ offset }) => offset ?? null),
    ],
  });
};

/** What a topic lacks of the ledger. */
export interface RelayLag {
  readonly tenants: number;
  readonly facts: number;
}

/** Throws `StreamError`. */
export const relayLag = async (databases: LedgerDatabases, topic: string): Promise<RelayLag> => {
  const others = await headsElsewhere(databases);
  try {
    return await withClient(databases.home.pool, async (client) => {
      const { rows } = await client.query<RelayLag>(
        `SELECT count(*)::bigint AS tenants, coalesce(sum(a.seq - coalesce(r.seq, 0)), 0)::bigint AS facts
          FROM (SELECT h.tenant, h.seq FROM ledger.heads h WHERE ${READABLE}
            UNION ALL SELECT * FROM unnest($2::text[], $3::bigint[])) a
          LEFT JOIN transport.relayed r ON r.topic = $1 AND r.tenant = a.tenant
          WHERE a.seq > coalesce(r.seq, 0)`,
        [topic, others.map(({ tenant }) => tenant), others.map(({ seq }) => seq)],
      );
      return rows[0] ?? { tenants: 0, facts: 0 };
    });
  } catch (error) {
    throw streamError(error);
  }
};
