// What a running service writes, at its most talkative, searched for what nobody may find in a log: tokens, passwords,
// private keys, and what callers put into receipts.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { connect } from '#streams/postgres/connect.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { inProcess } from './in-process.ts';
import { dataFolder, endAll, start } from './program.ts';

const CANARY = 'canary-7f3a-payload';

/** The secret lines of every private key in the folder. */
const privateKeys = (folder: string): readonly string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.pem'))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter((line) => line !== '' && !line.startsWith('-----'));

/** Good, refused, malformed, unauthorised: each with the canary wherever a caller can put it. */
const trouble = async (url: string, token: string): Promise<void> => {
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    'idempotency-key': `key-${CANARY}`,
  };
  const receipt = { action: CANARY, actor: CANARY, decision: 'allow', inputs: { password: CANARY } };
  const post = (body: string, over: object = {}) =>
    fetch(`${url}/receipts?q=${CANARY}`, { method: 'POST', body, headers: { ...headers, ...over } });
  expect((await post(JSON.stringify(receipt))).status).to.equal(201);
  for (const body of [JSON.stringify({ ...receipt, decision: CANARY }), `{"a":${CANARY}}`, CANARY, '{}'])
    expect((await post(body)).status).to.be.within(400, 499);
  expect((await post('{}', { authorization: `Bearer ${CANARY}` })).status).to.equal(401);
  expect((await post('{}', { authorization: `Bearer ${token.slice(0, -3)}xyz` })).status).to.equal(401);
  await fetch(`${url}/receipts/${CANARY}`, { headers });
  await fetch(`${url}/${CANARY}`);
};

describe('what a service writes', function () {
  this.timeout(300_000);
  let database: FreshDatabase;
  const folders: string[] = [];
  const dataDir = (): string => {
    const folder = dataFolder();
    folders.push(dirname(folder));
    return folder;
  };
  before(async () => {
    database = await freshDatabase();
  });
  after(async () => {
    await endAll();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
    await database[Symbol.asyncDispose]();
  });

  it('serve: no token, password, key or payload, also when the database refuses', async () => {
    const folder = dataDir();
    const env = {
      DATABASE_URL: database.url,
      PROV_LEDGER_DATA_DIR: folder,
      PROV_LEDGER_HTTP_PORT: '0',
      PROV_LEDGER_LOG_LEVEL: 'debug',
    };
    for (const args of [['migrate'], ['tenant', 'create', 'acme']])
      expect((await inProcess(args, { env })).code, args.join(' ')).to.equal(0);
    const token = (await inProcess(['token', 'create', 'acme'], { env })).stdout.trim();
    const program = start('cli.ts', ['serve'], { env });
    const [, url = ''] = await program.says(/listening on (http:\S+)/);
    await trouble(url, token);
    const owner = connect({ url: database.url, max: 1 });
    try {
      // A fault of the store while a receipt is under way: its error quotes what it was given.
      await owner.query(
        `CREATE FUNCTION public.canary() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'bad row: "${CANARY}"'; END $$;
         CREATE TRIGGER canary BEFORE INSERT ON ledger.facts FOR EACH ROW EXECUTE FUNCTION public.canary()`,
      );
      const body = JSON.stringify({ action: CANARY, actor: 'a', decision: 'allow' });
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const failed = await fetch(`${url}/receipts`, { method: 'POST', headers, body });
      expect(failed.status).to.be.within(500, 599);
    } finally {
      await owner.end();
    }
    program.child.kill('SIGTERM');
    const { stdout, stderr } = await program.ended;
    expect(stderr).to.contain('"msg":"recorded"').and.contain('"msg":"a request failed"');
    const { password } = new URL(database.url);
    for (const text of [stdout, stderr]) {
      for (const secret of [CANARY, token, token.split('.')[2] ?? '-', ...privateKeys(join(folder, 'keys'))])
        expect(text).to.not.contain(secret);
      if (password !== '') expect(text).to.not.contain(password);
    }
  });

  it('npm start: the demonstration token once, for whoever sits before it, and else nothing', async () => {
    const folder = dataDir();
    const program = start('start.ts', [], {
      env: { PROV_LEDGER_DATA_DIR: folder, PROV_LEDGER_HTTP_PORT: '0', PROV_LEDGER_LOG_LEVEL: 'debug' },
    });
    const [, url = ''] = await program.says(/listening on\s+(http:\S+)/);
    const [, token = ''] = await program.says(/token\s+(plt_demo\.\S+)/);
    await program.says(/Ctrl-C stops it/);
    await trouble(url, token);
    await pause(500);
    program.child.kill('SIGTERM');
    const { stdout, stderr } = await program.ended;
    const connection = JSON.parse(readFileSync(join(folder, 'connection.json'), 'utf8'));
    for (const text of [stdout, stderr])
      for (const secret of [CANARY, connection.password, ...privateKeys(join(folder, 'keys'))])
        expect(text).to.not.contain(secret);
    expect(stderr).to.not.contain(token);
    // The line that shows it, and the line to paste.
    expect(stdout.split(token).length - 1).to.equal(2);
    for (const line of stderr.trim().split('\n')) expect(() => JSON.parse(line), line).to.not.throw();
  });
});
