import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { commitLines } from '#deploy/processes/demo/git-history.ts';
import { loadMapping } from '#gateway/cli/mapping-file.ts';
import { faultsOf } from '#schemas/index.ts';

const expectReceipts = async (lines: readonly string[]): Promise<void> => {
  const { mapping } = await loadMapping('git-commits');
  for (const line of lines) {
    const mapped = mapping.map(JSON.parse(line));
    if (!mapped.ok) throw new Error(mapped.message);
    expect(
      faultsOf('receipts.ReceiptRecorded', 3, { ...mapped.receipt, tenant: 'demo' }),
      line,
    ).to.deep.equal([]);
  }
};

const hasGit = (): boolean => {
  try {
    execFileSync('git', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

describe('deploy/processes commitLines', () => {
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-history-'));
  after(() => rmSync(folder, { recursive: true }));

  it('gives the sample where there is no history, every line of it a receipt', async () => {
    const { from, lines } = await commitLines(folder);
    expect(from).to.match(/the sample/);
    expect(lines.length).to.be.within(40, 60);
    await expectReceipts(lines);
  });

  it('gives the history of a repository, oldest first, people as hashes', async function () {
    if (!hasGit()) return this.skip();
    const repository = join(folder, 'an odd näme');
    const git = (...args: readonly string[]) =>
      execFileSync(
        'git',
        ['-c', 'user.name=A', '-c', 'user.email=a@example.org', '-C', repository, ...args],
        { encoding: 'utf8' },
      );
    execFileSync('git', ['init', '-q', '-b', 'main', repository]);
    git('commit', '-q', '--allow-empty', '-m', 'first');
    git('commit', '-q', '--allow-empty', '-m', 'second\n\nwith a body');
    const { from, lines } = await commitLines(repository);
    const commits = lines.map((line) => JSON.parse(line));
    expect(from).to.match(/git history/);
    expect(commits.map(({ commit }) => commit)).to.deep.equal(
      git('log', '--reverse', '--format=%H').trim().split('\n'),
    );
    expect(commits[0].parents).to.deep.equal([]);
    expect(commits[1].parents).to.deep.equal([commits[0].commit]);
    expect(commits[1].committer).to.match(/^[0-9a-f]{16}$/);
    expect(JSON.stringify(commits)).not.to.contain('example.org');
    await expectReceipts(lines);
  });

  it('gives the sample when git fails', async function () {
    if (!hasGit()) return this.skip();
    const empty = join(folder, 'empty');
    execFileSync('git', ['init', '-q', empty]);
    expect((await commitLines(empty)).from).to.match(/the sample/);
  });
});
