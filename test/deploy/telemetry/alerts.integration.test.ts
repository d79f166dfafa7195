// The alert rules, tried with series that must fire each of them and series that must not, by Prometheus' own tool.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { expect } from 'chai';
import { PROJECT } from '#test/docs/pages.ts';

const RULES = 'deploy/alerts/prov-ledger.yml';
const TESTS = 'test/deploy/telemetry/alerts.rules.yml';

/** In the PATH, or unpacked from Debian's package `prometheus` into a cache of the user's. */
const promtool = (): string | undefined =>
  [
    ...(process.env['PATH'] ?? '').split(delimiter),
    join(homedir(), '.cache/prov-ledger-tools/prometheus/usr/bin'),
  ]
    .map((folder) => join(folder, 'promtool'))
    .find((path) => existsSync(path));

const alertsIn = (path: string, key: string): readonly string[] =>
  Array.from(
    readFileSync(join(PROJECT, path), 'utf8').matchAll(new RegExp(`${key}: (\\S+)`, 'g')),
    ([, name = '']) => name,
  );

describe('deploy/alerts', () => {
  it('has for each rule a case in which it fires, and one in which it does not', () => {
    const rules = alertsIn(RULES, 'alert');
    expect(rules.length).to.be.greaterThan(5);
    const text = readFileSync(join(PROJECT, TESTS), 'utf8');
    for (const rule of rules) {
      expect(text, rule).to.match(new RegExp(`alertname: ${rule}\\n +exp_alerts:\\n`));
      expect(text, rule).to.match(new RegExp(`alertname: ${rule}\\n +exp_alerts: \\[\\]`));
    }
    expect([...new Set(alertsIn(TESTS, 'alertname'))]).to.have.members(rules);
  });

  it('are sound rules that fire when they should, as promtool says', function () {
    const tool = promtool();
    if (tool === undefined) return this.skip();
    for (const args of [
      ['check', 'rules', RULES],
      ['test', 'rules', TESTS],
    ]) {
      const { status, stdout, stderr } = spawnSync(tool, args, { cwd: PROJECT, encoding: 'utf8' });
      expect(status, `${stdout}\n${stderr}`).to.equal(0);
    }
  });
});
