// Where the package runs besides Node: in Bun, and in a browser's page that is one file.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import { expect } from 'chai';
import { receiptBundle } from '#proofs/bundle.ts';
import { blocksOf, page } from '../../docs/pages.ts';
import { acme, type GatewayUnderTest, openGateway, receipt } from '../http/gateway-under-test.ts';
import { builtPackage, type Package, PROJECT } from './package.ts';

/** In the PATH, or from npm's package for this platform in a cache of the user's. */
const bun = (): string | undefined =>
  [
    ...(process.env['PATH'] ?? '').split(delimiter),
    join(
      homedir(),
      `.cache/prov-ledger-tools/bun/node_modules/@oven/bun-${process.platform}-${process.arch}/bin`,
    ),
  ]
    .map((folder) => join(folder, 'bun'))
    .find((path) => existsSync(path));

const ended = async (child: ChildProcess): Promise<string> => {
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (said += String(chunk)));
  await new Promise((resolve) => child.once('close', resolve));
  return said;
};

describe('@prov-ledger/sdk elsewhere', function () {
  this.timeout(60_000);
  let built: Package;
  let under: GatewayUnderTest;
  let url: string;
  let token: string;
  before(async () => {
    built = await builtPackage();
    under = await openGateway();
    url = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
    token = await under.token();
  });
  after(() => under[Symbol.asyncDispose]());

  describe('in Bun', () => {
    const runs = async (name: string, ...args: readonly string[]): Promise<string | undefined> => {
      const program = bun();
      if (program === undefined) return undefined;
      const code = blocksOf(page('docs/sdk.md')).find(({ label }) => label === name)?.text ?? '';
      writeFileSync(join(built.home, `bun-${name}`), code);
      return await ended(spawn(program, [join(built.home, `bun-${name}`), ...args], { cwd: built.home }));
    };

    it('records and verifies', async function () {
      const said = await runs('publish.mjs', url, token);
      if (said === undefined) return this.skip();
      expect(said).to.match(/is number \d+ of its chain\n(ok [a-z-]+: .+\n){6}verified\n$/);
    });

    it('keeps receipts on disk and delivers them', async function () {
      const said = await runs('spool.mjs', url, token, join(built.home, 'work/bun'));
      if (said === undefined) return this.skip();
      expect(said).to.match(/^(.+ is kept\n){3}all delivered\n$/);
    });

    it('leaves a receipt for each privileged route of Express', async function () {
      const program = bun();
      if (program === undefined) return this.skip();
      const code = blocksOf(page('docs/sdk.md')).find(({ label }) => label === 'express.mjs')?.text ?? '';
      writeFileSync(join(built.home, 'bun-express.mjs'), code);
      const child = spawn(program, [join(built.home, 'bun-express.mjs'), url, token], { cwd: built.home });
      const end = ended(child);
      const at = await new Promise<string>((resolve) =>
        child.stdout.once('data', (chunk) => resolve(String(chunk).trim())),
      );
      const before = (await under.store.head(acme))?.seq ?? 0;
      const answer = await fetch(`${at}/exports/invoices`, { method: 'POST', headers: { 'x-user': 'bun' } });
      expect(answer.status).to.equal(200);
      child.kill('SIGTERM');
      await end;
      expect((await under.store.head(acme))?.seq).to.equal(before + 1);
    });
  });

  describe('verify.html', () => {
    /** What the page's script touches of a browser, and nothing of Node. */
    const opened = (files: Readonly<Record<string, string>>) => {
      const text = readFileSync(join(built.folder, 'verify.html'), 'utf8');
      const [, script = ''] = /<script type="module">([^]*)<\/script>/.exec(text) ?? [];
      const changed: (() => void)[] = [];
      const elements: Record<string, Record<string, unknown>> = {};
      for (const id of ['receipt', 'keys', 'verdict', 'checks']) {
        expect(text, id).to.contain(`id="${id}"`);
        elements[id] = {
          files: id in files ? [{ text: async () => files[id] }] : [],
          addEventListener: (name: string, then: () => void) => name === 'change' && changed.push(then),
          replaceChildren(...children: unknown[]) {
            this['children'] = children;
          },
        };
      }
      const document = { getElementById: (id: string) => elements[id], createElement: () => ({}) };
      const context = createContext({ crypto, TextEncoder, TextDecoder, Uint8Array, ArrayBuffer, document });
      runInContext(`(async () => {${script}})()`, context);
      return { elements, choose: () => changed.forEach((then) => then()) };
    };
    const shown = async (files: Readonly<Record<string, string>>) => {
      const { elements, choose } = opened(files);
      choose();
      for (let look = 0; look < 500 && elements['verdict']?.['textContent'] === undefined; look += 1)
        await new Promise((resolve) => setTimeout(resolve, 10));
      const checks = (elements['checks']?.['children'] ?? []) as readonly { readonly className: string }[];
      return { verdict: elements['verdict']?.['textContent'], checks };
    };
    let bundle: string;
    let keys: string;
    before(async () => {
      await under.post(token, receipt());
      const head = await under.store.head(acme);
      if (!head) throw new Error('no facts');
      const proof = await under.store.proof(acme, head.seq);
      for await (const [fact] of under.store.read(acme, { from: head.seq, to: head.seq }))
        if (fact && proof) bundle = JSON.stringify(receiptBundle(fact, proof));
      keys = JSON.stringify(under.jwks);
    });

    it('verifies a receipt and finds out a forged one, with nothing but the globals of a browser', async () => {
      const good = await shown({ receipt: bundle, keys });
      expect(good.verdict).to.equal('verified');
      expect(good.checks.map(({ className }) => className)).to.deep.equal(Array(6).fill('ok'));
      const forged = await shown({ receipt: bundle.replace('alice', 'mallory'), keys });
      expect(forged.verdict).to.match(/^NOT verified/);
      expect(forged.checks.map(({ className }) => className)).to.include('failed');
      expect((await shown({ receipt: bundle, keys: 'x' })).verdict).to.match(/^the keys are no JSON/);
    });

    it('is one file that loads nothing and connects to nowhere', () => {
      const text = readFileSync(join(built.folder, 'verify.html'), 'utf8');
      expect(text).to.not.match(/\b(?:src|href)=|\bimport\s*[({'"]|\bfetch\(/);
      expect(text).to.contain("default-src 'none'");
      const source = readFileSync(join(PROJECT, 'gateway/sdk/examples/verify.html'), 'utf8');
      expect(text.split('<script')[0]).to.equal(source.split('<script')[0]);
    });
  });
});
