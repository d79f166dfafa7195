// The spec reporter, which also writes mocha's own totals as JSON to the file named by TEST_TOTALS (see .ci/run).

const { writeFileSync } = require('node:fs');
const { reporters } = require('mocha');

class TotalsReporter extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats;
      if (process.env.TEST_TOTALS)
        writeFileSync(process.env.TEST_TOTALS, JSON.stringify({ passes, failures, pending }));
    });
  }
}

module.exports = TotalsReporter;
