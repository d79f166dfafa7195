// The spec reporter, which also says which files took longest, hooks included, and writes mocha's own totals as JSON to
// the file named by TEST_TOTALS (see .ci/run).

const { writeFileSync } = require('node:fs');
const { relative } = require('node:path');
const { reporters } = require('mocha');

const SLOWEST = 12;

class TotalsReporter extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const seconds = new Map();
    const begun = new Map();
    runner.on('suite', (suite) => {
      if (suite.parent?.root) begun.set(suite, performance.now());
    });
    runner.on('suite end', (suite) => {
      const from = begun.get(suite);
      if (from === undefined) return;
      const file = relative(process.cwd(), suite.file ?? suite.title);
      seconds.set(file, (seconds.get(file) ?? 0) + (performance.now() - from) / 1_000);
    });
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats;
      const slowest = [...seconds].sort(([, one], [, other]) => other - one).slice(0, SLOWEST);
      console.log('  seconds of the slowest files:');
      for (const [file, took] of slowest) console.log(`  ${took.toFixed(1).padStart(7)} ${file}`);
      if (process.env.TEST_TOTALS)
        writeFileSync(process.env.TEST_TOTALS, JSON.stringify({ passes, failures, pending }));
    });
  }
}

module.exports = TotalsReporter;
