import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Command } from 'commander';
import { CliError } from '#gateway/cli/exit.ts';
import { program } from '#gateway/cli/main.ts';
import type { World } from '#gateway/cli/world.ts';
import { jwks } from '#proofs/keys/public-key.ts';
import { StreamError } from '#streams/errors.ts';
import { memoryLedger, type OpenMemoryLedger } from '#test/support/memory-ledger.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { runIn } from './world.ts';

const receipt = (id: string, over: object = {}): string =>
  JSON.stringify({
    id,
    action: 'db.export',
    actor: 'alice',
    decision: 'allow',
    created_at: '2026-11-21T09:00:00Z',
    ...over,
  });

const leaves = (command: Command, path: readonly string[] = []): (readonly [string, Command])[] =>
  command.commands.length === 0
    ? [[path.join(' '), command]]
    : command.commands.flatMap((child) => leaves(child, [...path, child.name()]));

const whole = await program({
  world: { version: '1.2.3', stdout: {}, stderr: {} } as World,
  ending: undefined,
});

describe('gateway/cli', () => {
  let ledger: OpenMemoryLedger;
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-cli-'));
  after(() => rmSync(folder, { recursive: true }));
  beforeEach(async () => {
    ledger = await memoryLedger();
  });

  describe('help', () => {
    const all = leaves(whole);

    it('has the commands that the documents promise', () => {
      expect(all.map(([path]) => path)).to.include.members([
        'serve',
        'migrate',
        'tenant create',
        'tenant list',
        'token create',
        'token revoke',
        'ingest',
        'receipt get',
        'head',
        'tail',
        'verify receipt',
        'verify tenant',
        'verify all',
        'verify export',
        'export',
        'status',
        'sql',
        'doctor',
        'keys list',
        'keys rotate',
        'config',
      ]);
    });

    for (const [path] of all) {
      it(`${path}: says what it is for, and shows it in use`, async () => {
        const { code, stdout } = await runIn(ledger, [...path.split(' '), '--help']);
        expect(code).to.equal(0);
        expect(stdout).to.contain(`Usage: prov-ledger ${path} [options]`);
        expect(stdout).to.contain('--json');
        expect(stdout).to.match(new RegExp(`Examples:\\n  prov-ledger ${path}`));
      });
    }

    it('lists the exit codes, and the version', async () => {
      expect((await runIn(ledger, ['--help'])).stdout).to.match(/Exit codes:[\s\S]*130/);
      expect(await runIn(ledger, ['--version'])).to.deep.equal({ code: 0, stdout: '1.2.3\n', stderr: '' });
    });
  });

  describe('a wrong command line ends with 2 and one line', () => {
    const wrong: readonly (readonly [string, RegExp])[] = [
      ['bogus', /unknown command 'bogus'/],
      ['tenant create', /missing required argument 'tenant'/],
      ['tenant create Acme', /Acme.*2 to 63 of a-z/],
      ['tenant create acme extra', /too many arguments/],
      ['ingest file', /required option '-t, --tenant/],
      ['ingest - --tenant acme --in-flight 0', /whole number from 1/],
      ['ingest - --tenant acme --mapping ./none.json', /mapping .* cannot be read/],
      ['token create acme --scope all', /is not a scope/],
      ['token create acme --expires tomorrow', /RFC 3339/],
      ['verify tenant acme --from 0', /whole number from 1/],
      ['verify tenant acme --from 5', /no range from 5/],
      ['verify receipt r.json', /--jwks FILE or --key FILE/],
      ['serve --port 70000', /0 to 65535/],
      ['status --nope', /unknown option '--nope'/],
    ];
    for (const [line, message] of wrong) {
      it(line, async () => {
        const { code, stdout, stderr } = await runIn(ledger, line.split(' '));
        expect(stderr).to.match(message);
        expect(stderr.trimEnd().split('\n')).to.have.length(1);
        expect(stderr).to.match(/^prov-ledger: /);
        expect({ code, stdout }).to.deep.equal({ code: 2, stdout: '' });
      });
    }
  });

  describe('exit codes', () => {
    const ends = async (error: unknown) =>
      await runIn(ledger, ['head', 'acme', '--json'], { open: async () => Promise.reject(error as Error) });

    it('3 when the store cannot be reached, 4 when it is corrupt, and what a command chose', async () => {
      expect((await ends(new StreamError('unavailable', 'gone'))).code).to.equal(3);
      expect((await ends(new StreamError('schema-mismatch', 'run migrate'))).code).to.equal(3);
      expect((await ends(new StreamError('corrupt', 'broken'))).code).to.equal(4);
      expect((await ends(Object.assign(new Error('no'), { code: 'EACCES' }))).code).to.equal(3);
      expect((await ends(new CliError('usage', 'configuration', 'X is not usable'))).code).to.equal(2);
    });

    it('with --json the error is a document on standard output, and a line on standard error', async () => {
      const { stdout, stderr } = await ends(new StreamError('unavailable', 'gone\u001b[2J'));
      expect(JSON.parse(stdout)).to.deep.equal({
        ok: false,
        error: { code: 'unavailable', message: 'gone\u001b[2J' },
      });
      expect(stderr).to.equal('prov-ledger: gone\\u001b[2J\n');
    });

    it('a fault of the program shows where it was', async () => {
      expect((await ends(new TypeError('oops'))).stderr).to.match(/oops[\s\S]*at /);
    });
  });

  it('makes a tenant, refuses it twice, lists it', async () => {
    expect(await runIn(ledger, ['tenant', 'create', 'other', '--name', 'The Other'])).to.include({ code: 0 });
    const again = await runIn(ledger, ['tenant', 'create', 'other', '--json']);
    expect(again.code).to.equal(1);
    expect(JSON.parse(again.stdout).error.code).to.equal('tenant-already-exists');
    const { tenants } = JSON.parse((await runIn(ledger, ['tenant', 'list', '--json'])).stdout);
    expect(
      tenants.map((each: { tenant: string; display_name: string }) => [each.tenant, each.display_name]),
    ).to.deep.equal([
      ['acme', 'acme'],
      ['other', 'The Other'],
    ]);
    expect((await runIn(ledger, ['tenant', 'suspend', 'other', '--reason', 'unpaid'])).code).to.equal(0);
    expect((await runIn(ledger, ['tenant', 'show', 'other'])).stdout).to.contain('suspended');
    expect((await runIn(ledger, ['head', 'nobody'])).stderr).to.contain('there are acme, other');
  });

  it('issues a token once, lists it without its secret, revokes it once', async () => {
    const { token, token_id: id } = JSON.parse(
      (await runIn(ledger, ['token', 'create', 'acme', '--scope', 'ledger:read', '--json'])).stdout,
    );
    const listed = await runIn(ledger, ['token', 'list', 'acme', '--json']);
    expect(JSON.parse(listed.stdout).tokens).to.deep.equal([
      {
        token_id: id,
        scopes: ['ledger:read'],
        label: null,
        expires_at: null,
        last_used_at: null,
        status: 'in force',
      },
    ]);
    const used = { ...ledger, lastUses: async () => new Map([[id, Date.UTC(2026, 10, 21, 9)]]) };
    expect((await runIn(used, ['token', 'list', 'acme'])).stdout).to.contain('2026-11-21T09:00:00');
    expect(listed.stdout).not.to.contain(token.split('.')[2]);
    expect((await runIn(ledger, ['token', 'revoke', 'acme', id])).code).to.equal(0);
    expect((await runIn(ledger, ['token', 'revoke', 'acme', id])).code).to.equal(1);
    expect(
      JSON.parse((await runIn(ledger, ['token', 'list', 'acme', '--json'])).stdout).tokens[0].status,
    ).to.equal('revoked');
  });

  it('ingests standard input: good lines go in, each bad one is named, exit 1', async () => {
    const rejects = join(folder, 'rejects.ndjson');
    const input = `${receipt('a')}\nnot json\n${receipt('c', { decision: 'perhaps' })}\n${receipt('d')}\n`;
    const { code, stdout, stderr } = await runIn(
      ledger,
      ['ingest', '-', '--tenant', 'acme', '--rejects', rejects, '--json'],
      { input },
    );
    expect(code).to.equal(1);
    expect(JSON.parse(stdout)).to.deep.include({ lines: 4, recorded: 2, rejected: 2, interrupted: false });
    expect(stderr)
      .to.match(/line 2: not-json: .+\n/)
      .and.to.match(/line 3: malformed-receipt: \/decision .+"allow" or "deny"/);
    const written = readFileSync(rejects, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(written.map(({ line, code: why }) => [line, why])).to.deep.equal([
      [2, 'not-json'],
      [3, 'malformed-receipt'],
    ]);
  });

  it('ends with 130 when it was interrupted, and says how to go on', async () => {
    const { code, stdout } = await runIn(ledger, ['ingest', '-', '--tenant', 'acme'], {
      input: receipt('a'),
      signal: AbortSignal.abort(),
    });
    expect(code).to.equal(130);
    expect(stdout).to.match(/run the same command again/);
  });

  describe('proofs', () => {
    const file = (name: string, content: string): string => {
      const path = join(folder, name);
      writeFileSync(path, content);
      return path;
    };
    beforeEach(async () => {
      const input = Array.from({ length: 20 }, (_, index) => receipt(`r${index}`)).join('\n');
      expect(
        (await runIn(ledger, ['ingest', '-', '--tenant', 'acme', '--in-flight', '3'], { input })).code,
      ).to.equal(0);
    });
    const keysFile = (): string => file('jwks.json', JSON.stringify(jwks(ledger.keys)));

    it('a receipt verifies from its file and the keys, and not when either is another', async () => {
      const path = join(folder, 'receipt.json');
      expect(
        (await runIn(ledger, ['receipt', 'get', 'r7', '--tenant', 'acme', '--out', path])).code,
      ).to.equal(0);
      const offline = { open: async () => Promise.reject(new Error('verify receipt opened the ledger')) };
      const verify = (receiptFile: string, ...keys: readonly string[]) =>
        runIn(ledger, ['verify', 'receipt', receiptFile, ...keys, '--json'], offline);
      expect((await verify(path, '--jwks', keysFile())).code).to.equal(0);
      const [key] = ledger.keys;
      expect((await verify(path, '--key', file('key.jwk', JSON.stringify(key?.publicJwk)))).code).to.equal(0);
      expect(
        (
          await verify(
            path,
            '--key',
            file('key.pem', String(key?.key.export({ type: 'spki', format: 'pem' }))),
          )
        ).code,
      ).to.equal(0);
      expect(
        (await verify(path, '--jwks', file('other.json', JSON.stringify(jwks(testSigner().keys))))).code,
      ).to.equal(1);
      const forged = await verify(
        file('forged.json', readFileSync(path, 'utf8').replace('alice', 'alicf')),
        '--jwks',
        keysFile(),
      );
      expect(forged.code).to.equal(1);
      expect(
        JSON.parse(forged.stdout).checks.filter((check: { ok: boolean }) => !check.ok),
      ).to.have.length.greaterThan(0);
      expect((await verify(path, '--key', file('empty.jwk', '{}'))).code).to.equal(2);
      expect((await runIn(ledger, ['receipt', 'get', 'nope', '--tenant', 'acme'])).code).to.equal(1);
    });

    it('an export verifies offline, whole and in part, against a head kept elsewhere', async () => {
      const head = JSON.parse((await runIn(ledger, ['head', 'acme', '--json'])).stdout);
      for (const [name, ...range] of [
        ['all.ndjson.gz'],
        ['part.ndjson', '--from', '5', '--to', '11'],
      ] as const) {
        const path = join(folder, name);
        expect((await runIn(ledger, ['export', 'acme', '--out', path, ...range])).code).to.equal(0);
        const { code, stdout } = await runIn(ledger, [
          'verify',
          'export',
          path,
          '--jwks',
          keysFile(),
          '--json',
        ]);
        expect({ code, ok: JSON.parse(stdout).ok }).to.deep.equal({ code: 0, ok: true });
        const pinned = await runIn(ledger, [
          'verify',
          'export',
          path,
          '--jwks',
          keysFile(),
          '--head',
          `${head.seq}:${head.hash}`,
        ]);
        expect(pinned.code, name).to.equal(name === 'all.ndjson.gz' ? 0 : 1);
      }
      const { stdout } = await runIn(ledger, ['export', 'acme']);
      const forged = file('forged.ndjson', stdout.replace('"alice\\"', '"alicf\\"'));
      const refused = await runIn(ledger, ['verify', 'export', forged, '--jwks', keysFile(), '--json']);
      expect(refused.code).to.equal(1);
      expect(JSON.parse(refused.stdout)).to.include({ ok: false, code: 'hash-mismatch', line: 4 });
    });

    it('a tenant verifies where it is stored, whole and in part', async () => {
      const whole = JSON.parse((await runIn(ledger, ['verify', 'tenant', 'acme', '--json'])).stdout);
      expect(whole).to.include({ ok: true, facts: 21 });
      const part = JSON.parse(
        (await runIn(ledger, ['verify', 'tenant', 'acme', '--from', '6', '--to', '9', '--json'])).stdout,
      );
      expect(part).to.include({ ok: true, facts: 4 });
      expect(JSON.parse((await runIn(ledger, ['verify', 'all', '--json'])).stdout)).to.include({
        ok: true,
        facts: 21,
      });
    });

    it('tail shows facts as they are, and a terminal cannot be painted by what they say', async () => {
      const input = receipt('painted', { actor: 'mallory\u202e' });
      expect((await runIn(ledger, ['ingest', '-', '--tenant', 'acme'], { input })).code).to.equal(0);
      const { stdout } = await runIn(ledger, ['tail', 'acme', '--count', '3', '--no-follow']);
      expect(stdout.trimEnd().split('\n')).to.have.length(3);
      expect(stdout).to.contain('mallory\\u202e');
      const items = (await runIn(ledger, ['tail', 'acme', '--from', '2', '--no-follow', '--json'])).stdout
        .trimEnd()
        .split('\n');
      expect(items.map((line) => JSON.parse(line).seq)).to.deep.equal(
        Array.from({ length: 21 }, (_, index) => index + 2),
      );
    });
  });
});
