import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { modelDigest } from '#projectors/digest.ts';
import { rowHashes } from '#replay-harness/row-hashes.ts';

const some = (from: number, count: number): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, index) =>
      createHash('sha256')
        .update(String(from + index))
        .digest(),
    ),
  );

describe('replay-harness/row-hashes', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger-test-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('come to the digest of all rows, whether or not they fit into memory', () => {
    for (const memoryBytes of [32, 1_000, 1 << 20]) {
      using hashes = rowHashes({ folder, name: 'some', memoryBytes });
      for (let from = 0; from < 2_000; from += 100) hashes.add(some(from, 100));
      expect(hashes.count()).to.equal(2_000);
      expect(hashes.digest()).to.equal(modelDigest(some(0, 2_000)));
      hashes.add(some(2_000, 5));
      expect(hashes.digest()).to.equal(modelDigest(some(0, 2_005)));
    }
  });

  it('leave no file behind, unless a state was taken to go on from', () => {
    const left = rowHashes({ folder, name: 'left', memoryBytes: 64 });
    left.add(some(0, 10));
    expect(readdirSync(folder)).to.deep.equal(['left.hashes']);
    left[Symbol.dispose]();
    expect(readdirSync(folder)).to.deep.equal([]);

    const kept = rowHashes({ folder, name: 'kept', memoryBytes: 64 });
    kept.add(some(0, 10));
    const state = kept.state();
    // What comes after the state is forgotten by whoever goes on from it.
    kept.add(some(500, 9));
    kept[Symbol.dispose]();
    expect(existsSync(join(folder, 'kept.hashes'))).to.equal(true);
    using again = rowHashes({
      folder,
      name: 'kept',
      from: JSON.parse(JSON.stringify(state)) as typeof state,
    });
    again.add(some(10, 10));
    expect(again.digest()).to.equal(modelDigest(some(0, 20)));
  });
});
