// What the ledger gives, whatever was killed on the way: its topics as a reader without any other knowledge finds them, and
// the read models of the workers that follow them.
import { expect } from 'chai';
import { CHAIN_START, type ChainPosition, linkFault } from '#proofs/chain.ts';
import type { TenantId } from '#schemas/ids.ts';
import { subjects } from '#schemas/registry/subjects.ts';
import { CarryError } from '#streams/carry.ts';
import { announcedHeads } from '#streams/kafka/announced-heads.ts';
import type { KafkaConnection } from '#streams/kafka/connect.ts';
import { factOf } from '#streams/kafka/fact-message.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import { EVENTS_TOPIC } from '#streams/kafka/relay.ts';
import { wholeTopic } from '#streams/kafka/whole-topic.ts';
import type { Pool } from '#streams/postgres/connect.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { relayLag } from '#streams/postgres/transport/relayed.ts';
import { inProcess } from '#test/deploy/processes/in-process.ts';
import type { Cluster } from './kafka-cluster.ts';
import { type Around, untilNone } from './kafka-taken.ts';
import type { Site } from './site.ts';

const NEVER = new AbortController().signal;

export interface Given {
  /** Messages of facts on the topic, and those of them that a reader drops. */
  readonly facts: number;
  readonly dropped: number;
}

/** Until the topic has every fact, the announced heads are those of the store, and every read model is current. */
export const untilGiven = async ({ site, cluster: { connection }, pool, log }: Around): Promise<void> => {
  await untilNone(
    'facts that are not relayed',
    async () => (await relayLag(oneDatabase(pool), connection.topic(EVENTS_TOPIC))).facts,
    log,
  );
  await untilNone('heads that are not announced', () => headsBehind(site, connection));
  await untilNone('read models that are not current', async () => {
    const { rows } = await pool.query<{ tenant: string; projection: string; state: string }>(
      `SELECT tenant, projection, state FROM views.projection_status WHERE state <> 'current'`,
    );
    const halted = rows.filter(({ state }) => state === 'halted');
    if (halted.length > 0) throw new Error(`halted: ${JSON.stringify(halted)}`);
    return rows.length;
  });
};

/** Heads of the store that nobody can read of on the topic, under a signature that holds. */
const headsBehind = async (site: Site, connection: KafkaConnection): Promise<number> => {
  const heads = await site.withStore((store) => store.heads());
  const announced = await announcedHeads(connection, site.keys.keys, NEVER).catch((error: unknown) => {
    // None at all was announced yet.
    if (error instanceof CarryError && error.code === 'gap') return undefined;
    throw error;
  });
  return heads.filter(({ tenant, hash }) => announced?.heads.get(tenant)?.hash !== hash).length;
};

/**
 * Throws where the topic, read from its beginning, does not lead to each head of the store fact by fact, or a read model is
 * not what the history says. `cut`: retention has removed facts, so a chain may begin anywhere.
 */
export const expectGiven = async (
  site: Site,
  cluster: Cluster,
  { pool, cut }: { readonly pool: Pool; readonly cut: boolean },
): Promise<Given> => {
  const heads = await site.withStore((store) => store.heads());
  const { reading, given } = await readInSequence(cluster);
  for (const { tenant, seq, hash } of heads) {
    const its = reading.get(tenant);
    // A quiet tenant's facts may all have been there when retention came.
    if (cut && !its) continue;
    expect(its?.last, `the end of ${tenant} on the topic`).to.include({ seq, hash });
    if (!cut) expect(its?.first, `the beginning of ${tenant} on the topic`).to.equal(1);
  }
  const { rows } = await pool.query<{ recorded: number; shown: number }>(
    `SELECT (SELECT count(*)::int FROM ledger.fact_texts WHERE type = 'receipts.ReceiptRecorded') AS recorded,
      (SELECT count(*)::int FROM views.receipts) AS shown`,
  );
  expect(rows[0]?.shown, 'rows of the read model').to.equal(rows[0]?.recorded);
  const { stdout, stderr } = await inProcess(['projections', 'verify', 'receipts_daily'], {
    env: site.environment,
  });
  expect(stdout, stderr).to.match(/is what the history says/);
  return given;
};

interface Reading {
  /** The seq with which the chain that is read begins. */
  readonly first: number;
  readonly last: ChainPosition;
}

/**
 * What a reader keeps who takes what comes next and drops everything else: a topic made anew is sent anew from the first
 * fact on, behind what was sent to it before its relay noticed.
 */
const readInSequence = async ({ connection, registry }: Cluster) => {
  const schemas = wireSchemas({ url: registry.url });
  for (const subject of subjects()) await schemas.learn(await schemas.idOf(subject));
  const reading = new Map<TenantId, Reading>();
  const given = { facts: 0, dropped: 0 };
  const { portions } = await wholeTopic(connection, EVENTS_TOPIC);
  for await (const { messages } of portions(NEVER))
    for (const message of messages) {
      const fact = factOf(message, schemas.reader);
      const { tenant, seq } = fact;
      const its = reading.get(tenant);
      given.facts += 1;
      if (!its || seq < its.first) {
        const before = seq === 1 ? CHAIN_START : { ...fact, seq: seq - 1, hash: fact.prevHash };
        expect(linkFault(fact, tenant, before as ChainPosition), `${tenant}/${seq}`).to.equal(undefined);
        reading.set(tenant, { first: seq, last: fact });
      } else if (seq === its.last.seq + 1) {
        expect(linkFault(fact, tenant, its.last), `${tenant}/${seq}`).to.equal(undefined);
        reading.set(tenant, { first: its.first, last: fact });
      } else given.dropped += 1;
    }
  return { reading, given };
};
