// docs/operations: the settings are the program's, and the unit is one that systemd takes.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { readConfiguration } from '#deploy/configuration.ts';
import { PROJECT, page, rowsUnder } from './pages.ts';

describe('docs/operations/service.md', () => {
  it('lists every setting, with its meaning and what holds without it', () => {
    const read = readConfiguration({}, () => '/data');
    if (!read.ok) throw new Error('an empty environment must do');
    const rows = rowsUnder(page('docs/operations/service.md'), 'Settings');
    const documented = rows.map(([name = '', , meaning]) => [name.replaceAll('`', ''), meaning]);
    expect(documented).to.deep.equal(read.settings.map(({ name, description }) => [name, description]));
    for (const { name, value } of read.settings) {
      const [, fallback = ''] = rows.find(([cell]) => cell === `\`${name}\``) ?? [];
      if (!/URL|DIR/.test(name)) expect(fallback, name).to.equal(value);
    }
  });

  it('has units that systemd takes', function () {
    const folder = join(PROJECT, 'deploy/systemd');
    const units = readdirSync(folder);
    expect(units).to.include.members([
      'prov-ledger.service',
      'prov-ledger@.service',
      'prov-ledger-coverage.timer',
    ]);
    const { error, stderr } = spawnSync(
      'systemd-analyze',
      ['verify', '--man=no', ...units.map((unit) => join(folder, unit))],
      { encoding: 'utf8' },
    );
    if (error) return this.skip();
    expect(stderr.split('\n').filter((line) => line.includes('prov-ledger'))).to.deep.equal([]);
  });
});
