import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { openSpool, type Spool, SpoolError, type SpoolOptions } from '#gateway/sdk/spool.ts';
import { acme, type GatewayUnderTest, openGateway } from '../http/gateway-under-test.ts';

const CHILD = fileURLToPath(new URL('spool-child.ts', import.meta.url));
const said = (n: number) =>
  ({ id: `r-${n}`, action: 'row.delete', actor: 'bob', decision: 'allow', inputs: { n } }) as const;
const away: typeof fetch = () => Promise.reject(new TypeError('the service is away'));

describe('gateway/sdk/spool', function () {
  this.timeout(60_000);
  let under: GatewayUnderTest;
  let url: string;
  let token: string;
  let folder: string;
  const spools: Spool[] = [];

  const open = (options: Partial<SpoolOptions> = {}): Spool => {
    const spool = openSpool({ url, token, folder, retry: { baseMs: 1, capMs: 20 }, ...options });
    spools.push(spool);
    return spool;
  };
  const delivered = async (): Promise<readonly number[]> => {
    const found: number[] = [];
    for await (const facts of under.store.read(acme))
      for (const { type, payload } of facts)
        if (type === 'receipts.ReceiptRecorded') found.push(Number(JSON.parse(payload).id.slice(2)));
    return found;
  };
  const refusal = async (of: Promise<unknown>): Promise<string> =>
    of.then(
      () => 'none',
      (error: unknown) => (error instanceof SpoolError ? error.code : String(error)),
    );
  const opening = (): string => {
    try {
      open();
      return 'none';
    } catch (error) {
      return error instanceof SpoolError ? error.code : String(error);
    }
  };
  const segments = (): readonly string[] =>
    readdirSync(folder)
      .filter((file) => file.endsWith('.seg'))
      .sort()
      .map((file) => join(folder, file));

  beforeEach(async () => {
    under = await openGateway();
    url = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
    token = await under.token();
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger-spool-'));
  });
  afterEach(async () => {
    for (const spool of spools.splice(0)) await spool.close();
    await under[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  it('keeps while the service is away, and delivers in order when it is back', async () => {
    const spool = open({ fetch: away });
    for (let n = 0; n < 40; n += 1) await spool.record(said(n));
    expect(spool.status())
      .to.have.nested.property('trouble.message')
      .that.matches(/not be reached/);
    await spool.close();
    expect(await delivered()).to.deep.equal([]);
    const back = open();
    await Promise.all(Array.from({ length: 700 }, (_, n) => back.record(said(40 + n))));
    await back.drained();
    expect(back.status()).to.deep.include({ drained: true, trouble: undefined });
    expect(await delivered()).to.deep.equal(Array.from({ length: 740 }, (_, n) => n));
  });

  it('every acknowledged receipt is delivered once and in order, though its process is killed 12 times', async () => {
    const acknowledged: number[] = [];
    for (let round = 0; round < 12; round += 1) {
      const from = String(round * 100_000);
      const child = spawn(process.execPath, [CHILD, url, token, folder, from], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let text = '';
      child.stdout.on('data', (chunk) => {
        text += String(chunk);
      });
      const ended = new Promise((resolve) => child.once('close', resolve));
      while (text === '') await sleep(5);
      await sleep(Math.random() * 60);
      child.kill('SIGKILL');
      await ended;
      acknowledged.push(...text.split('\n').slice(0, -1).map(Number));
    }
    const spool = open();
    await spool.drained();
    const found = await delivered();
    expect(acknowledged.length).to.be.greaterThan(100);
    expect(new Set(found).size, 'none twice').to.equal(found.length);
    expect(
      acknowledged.filter((n) => !new Set(found).has(n)),
      'none missing',
    ).to.deep.equal([]);
    expect(found, 'in order').to.deep.equal(found.toSorted((a, b) => a - b));
  });

  it('cuts a torn end at every byte, and keeps what was whole', async () => {
    const first = open({ fetch: away });
    await first.record(said(1));
    const whole = statSync(segments()[0] as string).size;
    await first.record(said(2));
    await first.close();
    const bytes = readFileSync(segments()[0] as string);
    for (let length = bytes.length - 1; length >= whole; length -= 7) {
      writeFileSync(segments()[0] as string, bytes.subarray(0, length));
      const spool = open({ fetch: away });
      expect(statSync(segments()[0] as string).size).to.equal(whole);
      await spool.close();
    }
    const spool = open();
    await spool.record(said(3));
    await spool.drained();
    expect(await delivered()).to.deep.equal([1, 3]);
  });

  it('refuses a spool that was changed before its end, and changes nothing', async () => {
    const spool = open({ fetch: away });
    for (const n of [1, 2, 3]) await spool.record(said(n));
    await spool.close();
    const [file = ''] = segments();
    const bytes = readFileSync(file);
    bytes[60] = (bytes[60] as number) ^ 1;
    writeFileSync(file, bytes);
    expect(opening()).to.equal('corrupt');
    expect(readFileSync(file).equals(bytes)).to.equal(true);
  });

  it('belongs to one at a time; a killed holder holds nothing', async () => {
    const spool = open();
    expect(opening()).to.equal('locked');
    await spool.close();
    writeFileSync(join(folder, 'lock.7'), JSON.stringify({ pid: process.pid, identity: 'an earlier run' }));
    expect(opening()).to.equal('none');
    expect(opening()).to.equal('locked');
  });

  it('says when it is full, keeps what it has, and takes more when that is delivered', async () => {
    const big = (n: number) => ({ ...said(n), inputs: { text: 'x'.repeat(700_000) } });
    const spool = open({ bytesMax: 4 << 20, fetch: away, fsync: 'never' });
    const taken: number[] = [];
    for (let n = 0; n < 8; n += 1) if ((await refusal(spool.record(big(n)))) === 'none') taken.push(n);
    expect(taken).to.deep.equal([0, 1, 2, 3, 4]);
    expect(await refusal(spool.record(big(9)))).to.equal('full');
    await spool.close();
    const back = open({ bytesMax: 4 << 20 });
    await back.drained();
    await back.record(big(10));
    await back.drained();
    expect(await delivered()).to.deep.equal([0, 1, 2, 3, 4, 10]);
    expect(back.status().bytes).to.be.lessThan(2 << 20);
    expect(await refusal(back.record({ ...said(11), inputs: { text: 'x'.repeat(1 << 20) } }))).to.equal(
      'not-taken',
    );
  });

  it('never uses a number twice: what comes after everything was delivered is delivered too', async () => {
    for (let round = 0; round < 4; round += 1) {
      const spool = open();
      await spool.record(said(round));
      await spool.drained();
      await spool.close();
    }
    expect(await delivered()).to.deep.equal([0, 1, 2, 3]);
  });

  it('puts what the service will never take aside, with the reason, and goes on', async () => {
    const refused: string[] = [];
    const spool = open({ onRefused: (receipt, error) => refused.push(`${receipt.id} ${error.code}`) });
    await Promise.all([
      spool.record(said(1)),
      spool.record({ ...said(2), actor: '' }),
      spool.record(said(3)),
    ]);
    await spool.drained();
    expect(await delivered()).to.deep.equal([1, 3]);
    expect(refused).to.deep.equal(['r-2 refused']);
    expect(JSON.parse(readFileSync(join(folder, 'refused.ndjson'), 'utf8'))).to.have.nested.property(
      'problem.errors[0].pointer',
      '#/actor',
    );
  });

  it('waits for a token that is taken', async () => {
    let given = 'plt_wrong';
    const spool = open({ token: () => given });
    await spool.record(said(1));
    while (!spool.status().trouble) await sleep(5);
    expect(spool.status()).to.have.nested.property('trouble.problem.code', 'token-refused');
    given = token;
    await spool.drained();
    expect(await delivered()).to.deep.equal([1]);
  });
});
