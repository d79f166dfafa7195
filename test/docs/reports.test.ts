// The replays on record: each report that is kept verifies offline with the keys kept beside it.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { keysFromJwks } from '#proofs/keys/public-key.ts';
import { verifyReport } from '#replay-harness/report.ts';
import { PROJECT } from './pages.ts';

describe('docs/reports', () => {
  const folder = join(PROJECT, 'docs/reports');
  const reports = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.dsse.json')) : [];
  const json = (file: string): unknown => JSON.parse(readFileSync(join(folder, file), 'utf8'));

  it('holds reports of replays', function () {
    // Made by `npm run replay:weekly`, on a quiet machine.
    if (reports.length === 0) this.skip();
  });

  for (const file of reports) {
    it(`${file} verifies, is sound and as expected, and has its page`, () => {
      const verdict = verifyReport(json(file), keysFromJwks(json('jwks.json')));
      if (!verdict.ok) throw new Error(verdict.message);
      const { verdict: came, compared, outcome } = verdict.statement.predicate;
      expect({ came, compared }).to.deep.equal({ came: 'sound', compared: true });
      expect(file).to.include(`-${outcome.arrivals}-`);
      expect(existsSync(join(folder, file.replace('.dsse.json', '.html')))).to.equal(true);
    });
  }
});
