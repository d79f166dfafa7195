// examples/reader.mjs as another team runs it: the built package, a Kafka client of its own, topics that a relay filled.
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { EVENTS_TOPIC, HEADS_TOPIC, relayLedger } from '#streams/kafka/relay.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { acme, append, drafts } from '#test/contracts/ledger-adapter.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { ledgerTopics } from '#test/support/ledger-topic.ts';
import { transportLedger } from '#test/support/transport.ts';
import { builtPackage, PROJECT } from './package.ts';

describe('gateway/sdk/examples/reader.mjs', function () {
  this.timeout(120_000);
  let pair: KafkaPair;
  before(async function () {
    pair = await kafkaPair(this);
  });

  it('reads the ledger from Kafka and says that it has every fact that was signed', async () => {
    const topics = await ledgerTopics(pair);
    const { connection } = topics;
    await using ledger = await transportLedger('acme');
    const { pool, store } = ledger;
    await append(store, acme, ...drafts(20));
    const ending = new AbortController();
    await using feed = postgresStreamFeed({ pool });
    const announced = Promise.withResolvers<void>();
    const relaying = relayLedger({
      ...topics,
      databases: oneDatabase(pool),
      store,
      feed,
      signal: ending.signal,
      onEvent: ({ type }) => {
        if (type === 'heads') announced.resolve();
      },
    });
    await announced.promise;
    ending.abort();
    await relaying;

    const { home } = await builtPackage();
    const driver = join(home, 'node_modules/kafkajs');
    if (!existsSync(driver)) symlinkSync(join(PROJECT, 'node_modules/kafkajs'), driver, 'junction');
    const program = join(home, 'reader.mjs');
    copyFileSync(join(PROJECT, 'gateway/sdk/examples/reader.mjs'), program);
    const jwks = join(home, 'work/jwks.json');
    writeFileSync(jwks, JSON.stringify({ keys: ledger.keys.map(({ publicJwk }) => publicJwk) }));
    const names = [EVENTS_TOPIC, HEADS_TOPIC].map((name) => connection.topic(name));
    const child = spawn(process.execPath, [program, pair.broker, ...names, jwks, acme], { timeout: 60_000 });
    const [said, wrong] = await Promise.all([text(child.stdout), text(child.stderr)]);
    expect(said, wrong).to.equal('acme: all 21 facts, as they were signed\n');
  });
});
