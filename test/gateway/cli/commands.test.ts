import { expect } from 'chai';
import type { Run } from '#gateway/cli/command.ts';
import { commandsFor } from '#gateway/cli/commands.ts';
import type { World } from '#gateway/cli/world.ts';

const run: Run = { world: {} as World, ending: undefined };
const named = async (...argv: readonly string[]): Promise<readonly string[]> =>
  (await commandsFor(run, argv)).map((command) => command.name());

describe('the commands of a line', () => {
  it('are the one that it names', async () => {
    for (const name of await named()) {
      expect(await named(name)).to.deep.equal([name]);
      expect(await named('--json', name, 'more')).to.deep.equal([name]);
    }
  });

  it('are all where it names none', async () => {
    const all = await named();
    expect(all).to.include.members(['serve', 'tenant', 'verify']);
    for (const argv of [['help', 'serve'], ['--help', 'serve'], ['bogus'], ['constructor']])
      expect(await named(...argv), argv.join(' ')).to.deep.equal(all);
  });
});
