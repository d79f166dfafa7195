// The built package: what it imports, that it runs under the machine's own Node and with nothing but the web's globals,
// and the code of docs/sdk.md, word for word, against a real gateway.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import { expect } from 'chai';
import { build } from 'esbuild';
import { flags } from '#commands/flags.ts';
import { runCommand } from '#commands/run.ts';
import type * as sdk from '#gateway/sdk/index.ts';
import { receiptBundle } from '#proofs/bundle.ts';
import { verifyReceipt } from '#proofs/verifier.ts';
import type { Instant } from '#schemas/ids.ts';
import { blocksOf, page } from '../../docs/pages.ts';
import { acme, type GatewayUnderTest, openGateway, receipt } from '../http/gateway-under-test.ts';
import { builtPackage, type Package, PROJECT } from './package.ts';

/** A Node of version 20 to 23 in the PATH, which strips no types. */
const olderNode = (): string | undefined =>
  (process.env['PATH'] ?? '')
    .split(':')
    .map((folder) => join(folder, 'node'))
    .find((node) => {
      try {
        return /^v2[0-3]\./.test(
          execFileSync(node, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
        );
      } catch {
        return false;
      }
    });

/** What an entry leaves to its user. */
const DRIVERS: Readonly<Record<string, readonly string[]>> = {
  './kafka': ['kafkajs'],
  './openfeature': ['@openfeature/server-sdk'],
};

const importsOf = (text: string): readonly string[] =>
  [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?["']([\w@./:-]+)["']/g)].map(([, specifier = '']) => specifier);

describe('the package @prov-ledger/sdk', function () {
  this.timeout(30_000);
  let built: Package;
  let under: GatewayUnderTest;
  let url: string;
  let token: string;
  const children: ChildProcess[] = [];

  before(async () => {
    built = await builtPackage();
    under = await openGateway();
    url = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
    token = await under.token();
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await under[Symbol.asyncDispose]();
  });

  const recorded = async (): Promise<readonly Record<string, unknown>[]> => {
    const found: Record<string, unknown>[] = [];
    for await (const facts of under.store.read(acme))
      found.push(
        ...facts.filter(({ type }) => type.startsWith('receipts')).map(({ payload }) => JSON.parse(payload)),
      );
    return found;
  };
  /** Everything a file imports, followed to its end: packages by name, files of the package by path. */
  const graphOf = (entry: string): ReadonlySet<string> => {
    const seen = new Set<string>();
    const walk = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const specifier of importsOf(readFileSync(join(built.folder, file), 'utf8')))
        if (specifier.startsWith('./'))
          walk(entry.endsWith('.d.ts') ? specifier.slice(2).replace(/\.js$/, '.d.ts') : specifier.slice(2));
        else seen.add(specifier);
    };
    walk(entry);
    return seen;
  };
  const program = (name: string, args: readonly string[], node = process.execPath): ChildProcess => {
    const child = spawn(node, [join(built.home, name), ...args], {
      cwd: built.home,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    return child;
  };
  const ended = async (
    child: ChildProcess,
  ): Promise<{ readonly code: number | null; readonly said: string }> => {
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (said += String(chunk)));
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { code, said };
  };
  const firstLine = (child: ChildProcess): Promise<string> =>
    new Promise((resolve, reject) => {
      child.stdout?.once('data', (chunk) => resolve(String(chunk).trim()));
      child.once('close', () => reject(new Error('it ended without a word')));
    });

  it('imports nothing but Node’s own modules, the web entry not even those', () => {
    const { exports } = JSON.parse(readFileSync(join(built.folder, 'package.json'), 'utf8')) as {
      readonly exports: Record<
        string,
        { readonly types: string; readonly default?: string; readonly node?: string }
      >;
    };
    const entries = Object.entries(exports).filter(([name]) => name !== './package.json');
    expect(entries).to.have.length(8);
    for (const [name, { types, default: web, node }] of entries) {
      const outside = [...graphOf((web ?? node ?? '').slice(2))].filter((file) => !file.endsWith('.js'));
      if (name === '.') expect(outside).to.deep.equal([]);
      const driver = DRIVERS[name] ?? [];
      for (const module of outside.filter((each) => !driver.includes(each)))
        expect(module).to.match(/^node:(fs|fs\/promises|path|crypto|async_hooks)$/);
      for (const module of [...graphOf(types.slice(2))].filter((file) => !/\.(d\.ts|js)$/.test(file)))
        expect(module).to.be.oneOf(['node:http', 'fastify', ...driver]);
    }
    for (const file of readdirSync(built.folder).filter((each) => each.endsWith('.js')))
      expect(readFileSync(join(built.folder, file), 'utf8'), file).to.not.match(
        /fastify'|typebox|ajv|#(schemas|proofs)/,
      );
  });

  it('verifies with nothing but the globals of a browser', async () => {
    const context = createContext({
      crypto,
      TextEncoder,
      TextDecoder,
      Uint8Array,
      ArrayBuffer,
      console: undefined,
    });
    const { outputFiles } = await build({
      entryPoints: [join(built.folder, 'index.js')],
      bundle: true,
      format: 'iife',
      globalName: 'sdk',
      write: false,
    });
    runInContext(outputFiles[0]?.text ?? '', context);
    const { verifyReceipt: verify } = context['sdk'] as typeof sdk;
    await under.post(token, receipt());
    let compared = 0;
    for await (const facts of under.store.read(acme)) {
      for (const fact of facts) {
        const proof = await under.store.proof(acme, fact.seq);
        if (!proof) throw new Error('a fact without a proof');
        const text = JSON.stringify(receiptBundle(fact, proof));
        const keys = JSON.stringify(under.jwks);
        for (const form of [
          text,
          text.replace('"seq":', '"seq":1'),
          text.replace(/"root":"./, '"root":"0'),
          text.slice(1),
          text.replace('"actor":"', '"actor":"x'),
        ]) {
          const here = verifyReceipt(form, JSON.parse(keys));
          expect(JSON.stringify(await verify(form, JSON.parse(keys))), form.slice(0, 80)).to.equal(
            JSON.stringify(here),
          );
          compared += 1;
        }
      }
    }
    expect(compared).to.be.greaterThan(9);
  });

  const example = (name: string): void => {
    const file = readFileSync(join(PROJECT, 'gateway/sdk/examples', name), 'utf8');
    expect(blocksOf(page('docs/sdk.md')).find(({ label }) => label === name)?.text).to.equal(file);
    writeFileSync(join(built.home, name), file);
  };
  const answers = async (child: ChildProcess): Promise<void> => {
    const at = await firstLine(child);
    const ask = (user: string): Promise<Response> =>
      fetch(`${at}/exports/invoices`, {
        method: 'POST',
        headers: {
          'x-user': user,
          'x-op-id': `op-${user}`,
          'x-op-parent-id': 'op-0',
          traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        },
      });
    expect((await ask('alice')).status).to.equal(200);
    expect((await ask('mallory')).status).to.equal(403);
    const end = ended(child);
    child.kill('SIGTERM');
    expect(await end).to.deep.include({ code: 0 });
  };
  const expectPair = async (from: number): Promise<void> => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const common = { action: 'db.export', op_parent_id: 'op-0', inputs: { table: 'invoices' } };
    const [first, second, ...others] = (await recorded()).slice(from);
    expect(others).to.deep.equal([]);
    expect(first).to.deep.include({
      ...common,
      actor: 'alice',
      decision: 'allow',
      op_id: 'op-alice',
      ext: { status: 200, traceparent },
    });
    expect(second).to.deep.include({
      ...common,
      actor: 'mallory',
      decision: 'deny',
      op_id: 'op-mallory',
      ext: { status: 403, traceparent },
    });
  };

  it('publish.mjs of docs/sdk.md records and verifies', async () => {
    example('publish.mjs');
    const { code, said } = await ended(program('publish.mjs', [url, token]));
    expect(said).to.match(/is number \d+ of its chain\n(ok [a-z-]+: .+\n){6}verified\n$/);
    expect(code).to.equal(0);
    const refused = await ended(program('publish.mjs', [url, 'plt_no']));
    expect(refused).to.deep.include({ code: 1 });
    expect(refused.said).to.match(/^unauthorized /);
  });

  it('spool.mjs of docs/sdk.md keeps and delivers', async () => {
    example('spool.mjs');
    const before = (await recorded()).length;
    const { code, said } = await ended(program('spool.mjs', [url, token, join(built.home, 'work/spool')]));
    expect(said).to.match(/^(.+ is kept\n){3}all delivered\n$/);
    expect(code).to.equal(0);
    expect((await recorded()).slice(before).map(({ inputs }) => inputs)).to.deep.equal([
      { row: 1 },
      { row: 2 },
      { row: 3 },
    ]);
  });

  it('express.mjs of docs/sdk.md leaves a receipt for each request', async () => {
    example('express.mjs');
    const before = (await recorded()).length;
    await answers(program('express.mjs', [url, token]));
    await expectPair(before);
  });

  it('fastify.mjs of docs/sdk.md leaves a receipt for each request', async () => {
    example('fastify.mjs');
    const before = (await recorded()).length;
    await answers(program('fastify.mjs', [url, token, join(built.home, 'work/fastify')]));
    await expectPair(before);
  });

  it('openfeature.mjs of docs/sdk.md evaluates a flag', async () => {
    example('openfeature.mjs');
    const flag = { feature: 'new-checkout', pct: 100, reason: 'the release' };
    const context = { tenant: acme, actor: 'ada', at: under.clock.now as Instant, key: 'set the flag' };
    await runCommand({ store: under.store, decider: flags }, { type: 'SetFlag', ...flag }, context);
    const { code, said } = await ended(program('openfeature.mjs', [url, token]));
    expect(said).to.match(/^new-checkout for user-4711: true \(STATIC, by fact \d+\)\n$/);
    expect(code).to.equal(0);
  });

  it('attested.mjs of docs/sdk.md leaves what it wrote on record', async () => {
    example('attested.mjs');
    const { code, said } = await ended(program('attested.mjs', [url, token]));
    expect(said).to.equal('4711 is placed and attested\n');
    expect(code).to.equal(0);
    const types: string[] = [];
    for await (const facts of under.store.read(acme)) types.push(...facts.map(({ type }) => type));
    expect(types)
      .to.include('attestations.WriteAttested')
      .and.not.include('attestations.AttestationRecorded');
  });

  it('runs under the machine’s own older Node', async function () {
    const node = olderNode();
    if (node === undefined) return this.skip();
    for (const name of ['publish.mjs', 'spool.mjs']) example(name);
    const publish = await ended(program('publish.mjs', [url, token], node));
    expect(publish.said).to.match(/verified\n$/);
    const spool = await ended(program('spool.mjs', [url, token, join(built.home, 'work/older')], node));
    expect(spool.said).to.match(/all delivered\n$/);
  });

  it('has types that a program without this project’s packages compiles with', () => {
    symlinkSync(join(PROJECT, 'node_modules/@types'), join(built.home, 'node_modules/@types'), 'junction');
    const text =
      "import { createClient, type ReceiptBundle, type Verification, verifyReceipt } from '@prov-ledger/sdk';\n" +
      "import { openSpool } from '@prov-ledger/sdk/spool';\n" +
      "import { privilegedRoutes } from '@prov-ledger/sdk/express';\n" +
      "const client = createClient({ url: 'https://x', token: () => 't' });\n" +
      "export const got: Promise<ReceiptBundle> = client.receipt('r');\n" +
      'export const said: Promise<Verification> = verifyReceipt({}, {});\n' +
      "export const kept = openSpool({ url: 'https://x', token: 't', folder: 'f' });\n" +
      'export const routes = privilegedRoutes({ ledger: kept, actor: () => undefined, onError: () => undefined });\n';
    const compiled = (source: string): string => {
      writeFileSync(join(built.home, 'program.mts'), source);
      try {
        const tsc = join(PROJECT, 'node_modules/typescript/bin/tsc');
        const flags = [
          '--noEmit',
          '--strict',
          '--module',
          'nodenext',
          '--target',
          'es2022',
          '--types',
          'node',
        ];
        return execFileSync(process.execPath, [tsc, ...flags, 'program.mts'], {
          cwd: built.home,
          encoding: 'utf8',
        });
      } catch (error) {
        return String((error as { stdout?: string }).stdout);
      }
    };
    expect(compiled(text)).to.equal('');
    expect(
      compiled(`${text}await client.record({ action: 'a', actor: 'b', decision: 'maybe' });\n`),
    ).to.match(/maybe/);
  });
});
