import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { KeyFolderFault, localKeys } from '#proofs/keys/local.ts';
import { isLowS } from '#proofs/keys/p256.ts';
import { keysFromJwks, verifySignature } from '#proofs/keys/public-key.ts';

const message = Buffer.from('a statement');
const codeOf = async (folder: string): Promise<string> =>
  localKeys({ folder }).then(
    () => 'opened',
    (error: unknown) => {
      if (error instanceof KeyFolderFault) return error.code;
      throw error;
    },
  );

describe('proofs/keys/local', () => {
  let folder: string;
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'prov-ledger-keys-'));
    folder = join(root, 'keys');
  });
  afterEach(async () => rm(root, { recursive: true, force: true }));

  it('makes an Ed25519 key at first start, closed to others, and finds it again', async () => {
    const first = await localKeys({ folder });
    expect(first.signer.algorithm).to.equal('Ed25519');
    expect((await stat(folder)).mode & 0o777).to.equal(0o700);
    const names = (await readdir(folder)).sort();
    expect(names).to.have.members([`${first.signer.kid}.pem`, 'active.pem']);
    for (const name of names) expect((await stat(join(folder, name))).mode & 0o777).to.equal(0o600);
    const again = await localKeys({ folder, algorithm: 'ES256' });
    expect(again.signer.kid).to.equal(first.signer.kid);
    expect(verifySignature(again.keys[0] as never, message, await first.signer.sign(message))).to.equal(true);
  });

  it('signs with P-256 in 64 bytes and the lower s, every time', async () => {
    const { signer, keys } = await localKeys({ folder, algorithm: 'ES256' });
    expect(signer.algorithm).to.equal('ES256');
    for (let round = 0; round < 40; round += 1) {
      const signature = await signer.sign(message);
      expect(signature).to.have.length(64);
      expect(isLowS(signature)).to.equal(true);
      expect(verifySignature(keys[0] as never, message, signature)).to.equal(true);
    }
  });

  it('rotates: the new key signs, the retired ones keep verifying', async () => {
    const first = await localKeys({ folder });
    const old = await first.signer.sign(message);
    const second = await first.rotate('ES256');
    const third = await second.rotate();
    expect(third.signer.algorithm).to.equal('ES256');
    const reopened = await localKeys({ folder });
    expect(reopened.signer.kid).to.equal(third.signer.kid);
    expect(reopened.keys[0]?.kid).to.equal(third.signer.kid);
    expect(reopened.keys.map(({ kid }) => kid)).to.have.members(
      [first, second, third].map(({ signer }) => signer.kid),
    );
    const published = keysFromJwks(JSON.parse(JSON.stringify(reopened.jwks())));
    const retired = published.find(({ kid }) => kid === first.signer.kid);
    expect(verifySignature(retired as never, message, old)).to.equal(true);
    expect(JSON.stringify(reopened.jwks())).not.to.include('"d"');
  });

  it('keeps every key of two rotations at once', async () => {
    const first = await localKeys({ folder });
    const rotated = await Promise.all([first.rotate(), first.rotate(), first.rotate()]);
    const { keys, signer } = await localKeys({ folder });
    expect(keys).to.have.length(4);
    expect(rotated.map((one) => one.signer.kid)).to.include(signer.kid);
  });

  it('agrees on one key when four processes start at once', async () => {
    const module = new URL('../../../proofs/keys/local.ts', import.meta.url).href;
    const script = `const { localKeys } = await import(${JSON.stringify(module)});
      const keys = await localKeys({ folder: process.argv[1] });
      process.stdout.write(keys.signer.kid);`;
    const kids = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const child = spawn(process.execPath, ['--input-type=module', '-e', script, folder], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        const chunks: Buffer[] = [];
        child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
        const [code] = await once(child, 'close');
        expect(code).to.equal(0);
        return Buffer.concat(chunks).toString();
      }),
    );
    expect(new Set(kids).size).to.equal(1);
    expect(await readdir(folder)).to.have.members([`${kids[0]}.pem`, 'active.pem']);
  });

  it('goes on after a crash between the two names of the first key', async () => {
    const { signer } = await localKeys({ folder });
    await rm(join(folder, `${signer.kid}.pem`));
    await writeFile(join(folder, '.new-left-behind'), 'half a ke', { mode: 0o600 });
    expect((await localKeys({ folder })).signer.kid).to.equal(signer.kid);
    expect(await readdir(folder)).to.include(`${signer.kid}.pem`);
  });

  describe('refuses, and says what to do', function () {
    before(function () {
      if (process.platform === 'win32') this.skip();
    });

    it('a key file that others can read, active or retired', async () => {
      const first = await localKeys({ folder });
      const { signer } = await first.rotate();
      await chmod(join(folder, 'active.pem'), 0o644);
      expect(await codeOf(folder)).to.equal('too-open');
      await chmod(join(folder, 'active.pem'), 0o600);
      await chmod(join(folder, `${first.signer.kid}.pem`), 0o640);
      const failure = await localKeys({ folder }).catch((error: Error) => error.message);
      expect(failure).to.equal(
        `${join(folder, `${first.signer.kid}.pem`)} is open to others (mode 640): run chmod 600 ${join(folder, `${first.signer.kid}.pem`)}`,
      );
      await chmod(join(folder, `${first.signer.kid}.pem`), 0o600);
      expect((await localKeys({ folder })).signer.kid).to.equal(signer.kid);
    });

    it('a key file that is open behind a symbolic link', async () => {
      await localKeys({ folder });
      await mkdir(join(root, 'other'), { mode: 0o700 });
      await symlink(join(folder, 'active.pem'), join(root, 'other', 'active.pem'));
      await chmod(join(folder, 'active.pem'), 0o604);
      expect(await codeOf(join(root, 'other'))).to.equal('too-open');
    });

    it('a folder that others can write', async () => {
      await localKeys({ folder });
      await chmod(folder, 0o770);
      expect(await codeOf(folder)).to.equal('too-open');
    });

    it('what is no key, or a key of an algorithm it does not know, or under a wrong name', async () => {
      const { signer } = await localKeys({ folder });
      await writeFile(join(folder, `${'x'.repeat(43)}.pem`), 'not a key', { mode: 0o600 });
      expect(await codeOf(folder)).to.equal('not-a-key');
      await rm(join(folder, `${'x'.repeat(43)}.pem`));
      await localKeys({ folder: join(root, 'second') });
      const [foreign] = (await readdir(join(root, 'second'))).filter((name) => name !== 'active.pem');
      const { readFile } = await import('node:fs/promises');
      const pem = await readFile(join(root, 'second', String(foreign)));
      await writeFile(join(folder, `${'y'.repeat(43)}.pem`), pem, { mode: 0o600 });
      expect(await codeOf(folder)).to.equal('not-a-key');
      await rm(join(folder, `${'y'.repeat(43)}.pem`));
      expect((await localKeys({ folder })).signer.kid).to.equal(signer.kid);
    });
  });
});
