// The process `kafka-ingest` and the commands about letters, as an operator has them: against a real broker and registry.
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import type { Producer } from 'kafkajs';
import { type Subject, subjectOf } from '#schemas/registry/subjects.ts';
import { type KafkaConnection, kafkaConnection } from '#streams/kafka/connect.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import { connect } from '#streams/postgres/connect.ts';
import { aReceipt, receiptValue } from '#test/support/transport.ts';
import { inProcess } from '../in-process.ts';
import { type Ended, type Program, start } from '../program.ts';
import { type KafkaSite, kafkaSite } from './site.ts';

describe('prov-ledger kafka-ingest', function () {
  this.timeout(180_000);
  let site: KafkaSite;
  let connection: KafkaConnection;
  let topic: string;
  let producer: Producer;
  let schemaId: number;

  before(async function () {
    site = await kafkaSite(this);
    connection = kafkaConnection({ brokers: [site.pair.broker], topicPrefix: site.prefix });
    topic = connection.topic('provenance.receipts.v1');
    await site.cli('tenant', 'create', 'acme');
    const schemas = wireSchemas({ url: site.pair.registryUrl });
    schemaId = await schemas.publish(subjectOf('receipts.ReceiptRecorded') as Subject);
    producer = connection.kafka.producer({ allowAutoTopicCreation: false });
    await producer.connect();
  });
  after(async () => {
    await producer?.disconnect();
    await site?.[Symbol.asyncDispose]();
  });

  const cli = (...args: readonly string[]): Promise<Ended> => inProcess(args, { env: site.env });
  const json = async <T>(...args: readonly string[]): Promise<T> => {
    const { code, stdout, stderr } = await cli(...args, '--json');
    expect(code, stderr).to.equal(0);
    return JSON.parse(stdout) as T;
  };
  let sent = 0;
  const send = async (...messages: readonly { readonly key: string; readonly value: Buffer }[]) => {
    await producer.send({ topic, messages: [...messages] });
    sent += messages.length;
  };
  const receiptsOf = (tenant: string, key: string, ids: readonly string[]) =>
    ids.map((id) => ({ key, value: receiptValue(aReceipt({ id, tenant }), schemaId) }));

  const ask = async (program: Program, path: string): Promise<{ status: number; body: string }> => {
    const [, url = ''] = await program.says(/health and figures on (http:\S+)/);
    const answer = await fetch(`${url}${path}`);
    return { status: answer.status, body: await answer.text() };
  };
  const until = async (
    program: Program,
    path: string,
    wanted: RegExp | ((body: string) => boolean),
  ): Promise<string> => {
    const fits = (body: string): boolean => (wanted instanceof RegExp ? wanted.test(body) : wanted(body));
    for (const deadline = Date.now() + 40_000; ; await pause(100)) {
      const { body } = await ask(program, path);
      if (fits(body)) return body;
      if (Date.now() > deadline) throw new Error(`${path} never said ${String(wanted)}`);
    }
  };
  /** Over all partitions. */
  const sum = (page: string, series: string): number =>
    [...page.matchAll(new RegExp(`^ledger_${series}\\} (\\d+)$`, 'gm'))].reduce(
      (all, [, value]) => all + Number(value),
      0,
    );
  const received = (count: number) => (page: string) => sum(page, 'messages_received\\{.*') === count;
  const facts = async (tenant: string): Promise<readonly { type: string; payload: { id?: string } }[]> => {
    const pool = connect({ url: site.database.url, max: 1 });
    try {
      const { rows } = await pool.query<{ type: string; payload: { id?: string } }>(
        'SELECT type, payload FROM ledger.fact_texts WHERE tenant = $1 ORDER BY seq',
        [tenant],
      );
      return rows;
    } finally {
      await pool.end();
    }
  };

  it('waits for its topics, takes what is sent, says what became of it, and drains', async () => {
    const program = start('cli.ts', ['kafka-ingest'], { env: site.env });
    expect(await until(program, '/readyz', /topics apply/)).to.match(/not-ready/);
    expect((await cli('topics', 'apply')).code).to.equal(0);
    await until(program, '/readyz', /"ready"/);
    const good = receiptsOf('acme', 'acme', ['r-1', 'r-2', 'r-1']);
    await send(
      ...receiptsOf('globex', 'g', ['g-1', 'g-2']),
      ...good.slice(0, 2),
      good[0] as (typeof good)[0],
    );
    // Two questions to the database, asked one after the other.
    const letter = /ledger_letters\{topic="[^"]+",state="dead",error_class="no-such-tenant"\} 1/;
    const page = await until(program, '/metrics', (body) => received(5)(body) && letter.test(body));
    const places = new Set(page.match(/(?<=ledger_messages\{topic=")[^"]+/g));
    expect([...places]).to.deep.equal([topic]);
    const fate = (name: string): number => sum(page, `messages\\{[^}]*fate="${name}"`);
    expect(['accepted', 'duplicate', 'conflict', 'dead_lettered', 'held'].map(fate)).to.deep.equal([
      2, 1, 0, 1, 1,
    ]);
    expect(page).to.not.match(/ledger_messages_missing\{[^}]*\} [^0]/);
    expect(page).to.match(/process_cpu_seconds_total/);
    program.child.kill('SIGTERM');
    const { code, stderr } = await program.ended;
    expect(code, stderr).to.equal(0);
    expect(stderr).to.match(/"msg":"drained"/);
  });

  it('letters are listed, shown, and taken in their order when the cause is put right', async () => {
    const { letters } = await json<{ letters: { letter: number; state: string; offset: number }[] }>(
      'dlq',
      'list',
    );
    expect(letters.map(({ state }) => state)).to.deep.equal(['dead', 'held']);
    const [first, second] = letters.map(({ letter }) => String(letter)) as [string, string];
    expect((await cli('dlq', 'list')).stdout).to.match(
      /no-such-tenant: there is no tenant globex: create it/,
    );
    const shown = await json<{ value_base64: string; key: string; error_class: string }>(
      'dlq',
      'show',
      first,
    );
    expect(shown).to.include({ key: 'g', error_class: 'no-such-tenant' });
    expect(Buffer.from(shown.value_base64, 'base64').includes('g-1')).to.equal(true);
    const behind = await cli('dlq', 'replay', second);
    expect(behind).to.include({ code: 1 });
    expect(behind.stderr).to.match(new RegExp(`waits behind letter ${first} `));
    const still = await cli('dlq', 'replay', first);
    expect(still.code).to.equal(1);
    expect(still.stdout).to.match(/still cannot be taken: there is no tenant globex/);
    await cli('tenant', 'create', 'globex');
    expect(await json('dlq', 'replay', first)).to.deep.equal({
      letter: Number(first),
      accepted: 2,
      duplicate: 0,
      conflict: 0,
      stopped: null,
    });
    const taken = (await facts('globex')).map(({ payload }) => payload.id).filter(Boolean);
    expect(taken).to.deep.equal(['g-1', 'g-2']);
    expect((await cli('dlq', 'replay', first)).stderr).to.match(/is taken already/);
    expect((await cli('dlq', 'list')).stdout).to.equal('no letters\n');
  });

  it('a letter is given up with a reason, which stands in the ledger with all that was done', async () => {
    await send({ key: 'z', value: Buffer.from('poison\u001b[2J') }, ...receiptsOf('acme', 'z', ['z-1']));
    const program = start('cli.ts', ['kafka-ingest'], { env: site.env });
    await until(program, '/metrics', /error_class="not-framed"\} 1/);
    const { letters } = await json<{ letters: { letter: number }[] }>('dlq', 'list', '--topic', topic);
    const letter = String(letters[0]?.letter);
    const text = (await cli('dlq', 'show', letter)).stdout;
    expect(text).to.match(/0000 {2}70 6f 69 73 6f 6e 1b .* poison\.\[2J/);
    expect((await cli('dlq', 'discard', letter)).code).to.equal(2);
    const gone = await cli('dlq', 'discard', letter, '--reason', 'sent by a test');
    expect(gone).to.include({ code: 0 });
    expect(gone.stdout).to.match(/is given up; 1 accepted, 0 duplicate, 0 in conflict/);
    expect((await cli('dlq', 'show', '99999')).stderr).to.match(/there is no letter 99999/);
    // The running process, whose position was changed under it, goes on.
    await send(...receiptsOf('acme', 'z', ['z-2']));
    await until(program, '/metrics', received(8));
    program.child.kill('SIGTERM');
    await program.ended;
    const { rows } = await json<{ rows: { said: string; n: number }[] }>(
      'sql',
      `select sum(received)::int as received, sum(accepted + duplicate + conflict + dead_lettered + held)::int as of_them, sum(discarded)::int as discarded from message_flow`,
    );
    expect(rows).to.deep.equal([{ received: 8, of_them: 8, discarded: 1 }]);
    const done = JSON.stringify(await facts('operators'));
    for (const type of ['LettersListed', 'LetterViewed', 'LetterReplayed', 'LetterDiscarded'])
      expect(done).to.include(`"messages.${type}"`);
    expect(done).to.include('sent by a test');
    expect((await cli('verify', 'tenant', 'operators')).code).to.equal(0);
  });

  it('all of a kind are settled at once, one after another, and what is left is named', async () => {
    await send(
      ...receiptsOf('initech', 'i', ['i-1', 'i-2']),
      ...receiptsOf('hooli', 'h', ['h-1']),
      { key: 'p', value: Buffer.from('poison') },
      { key: 'q', value: Buffer.from('poison') },
      ...receiptsOf('acme', 'q', ['q-1']),
    );
    const program = start('cli.ts', ['kafka-ingest'], { env: site.env });
    await until(program, '/metrics', /error_class="not-framed"\} 2/);
    await until(program, '/metrics', received(14));
    program.child.kill('SIGTERM');
    await program.ended;
    for (const args of [['replay'], ['replay', '1', '--all'], ['replay', '1', '--topic', topic]])
      expect((await cli('dlq', ...args)).stderr).to.match(/give the number of a letter, or --all/);
    expect((await cli('dlq', 'replay', '--all', '--class', 'odd')).stderr).to.match(/use one of not-framed/);
    await cli('tenant', 'create', 'initech');
    const replayed = await cli('dlq', 'replay', '--all', '--class', 'no-such-tenant', '--quiet');
    expect(replayed.code).to.equal(1);
    expect(replayed.stdout).to.match(
      /^1 letter taken; 2 accepted, 0 duplicate, 0 in conflict\n1 letter left; the first is \d+: there is no tenant hooli/,
    );
    expect(await json('dlq', 'discard', '--all', '--topic', topic, '--reason', 'a test')).to.deep.equal({
      letters: 3,
      accepted: 1,
      duplicate: 0,
      conflict: 0,
      left: 0,
      first_left: null,
    });
    expect((await cli('dlq', 'list')).stdout).to.equal('no letters\n');
    expect((await facts('initech')).map(({ payload }) => payload.id).filter(Boolean)).to.deep.equal([
      'i-1',
      'i-2',
    ]);
    const given = (await facts('operators')).filter(({ type }) => type === 'messages.LetterDiscarded');
    expect(given).to.have.length(4);
  });

  it('is part of a service on the embedded database', async () => {
    const { DATABASE_URL: _, ...rest } = site.env;
    const own = {
      ...rest,
      PROV_LEDGER_DATA_DIR: join(site.dataDir, '..', 'embedded'),
      PROV_LEDGER_KAFKA_GROUP: `${topic}.embedded`,
    };
    const program = start('cli.ts', ['serve', '--port', '0'], { env: own });
    const [, url = ''] = await program.says(/"operatorsUrl":"(http:[^"]+)"/);
    for (const deadline = Date.now() + 60_000; ; await pause(200)) {
      const page = await (await fetch(`${url}/metrics`)).text();
      // All that the tests before have sent: this ledger has no tenant, and no message is passed over.
      if (sent > 0 && sum(page, 'messages_received\\{.*') === sent) break;
      if (Date.now() > deadline) throw new Error('the messages were never taken');
    }
    program.child.kill('SIGTERM');
    expect((await program.ended).code).to.equal(0);
  });

  it('does not begin without what it needs, and says what', async () => {
    const without = async (name: string): Promise<Ended> => {
      const rest = Object.fromEntries(Object.entries(site.env).filter(([given]) => given !== name));
      return await inProcess(['kafka-ingest'], { env: rest });
    };
    expect(await without('PROV_LEDGER_KAFKA_BROKERS')).to.include({ code: 2 });
    const { code, stderr } = await without('PROV_LEDGER_REGISTRY_URL');
    expect(code).to.equal(2);
    expect(stderr).to.match(/set PROV_LEDGER_REGISTRY_URL/);
  });
});
