import { expect } from 'chai';
import { fireDue } from '#deploy/processes/keepers/timer-keeper.ts';
import { dispatcher } from '#deploy/processes/ledger/dispatch.ts';
import type { World } from '#gateway/cli/world.ts';
import { PrometheusFault } from '#gateway/flags/prometheus.ts';
import { allSagas } from '#sagas/index.ts';
import { memorySagaShelf } from '#sagas/memory/shelf.ts';
import { runSagas } from '#sagas/run.ts';
import type { Instant } from '#schemas/ids.ts';
import { dueFrom } from '#test/sagas/due-timers.ts';
import { memoryLedger } from '#test/support/memory-ledger.ts';
import { runIn } from './world.ts';

const by = ['--by', 'Ada, on call', '--reason', 'see ticket 4711'];

describe('prov-ledger ramps', () => {
  const opened = async () => {
    let now = Date.UTC(2026, 10, 21, 10);
    const clock = () => now as Instant;
    const ledger = await memoryLedger({ clock });
    const shelf = memorySagaShelf(() => ledger.store.heads());
    const inWorld = (over: Partial<World>, ...argv: readonly string[]) =>
      runIn(ledger, [...argv, '--tenant', 'acme'], { clock, ...over });
    const world = Object.assign((...argv: readonly string[]) => inWorld({}, ...argv), { with: inWorld });
    /** What a service does by itself, when so many seconds have passed. */
    const after = async (seconds: number): Promise<void> => {
      now += seconds * 1_000;
      await fireDue({ store: ledger.store, due: dueFrom(ledger.store), clock });
      const { signal } = new AbortController();
      const dispatch = dispatcher(ledger.store);
      for (let round = 0; round < 3; round += 1)
        await runSagas({ feed: ledger.feed, shelf, sagas: allSagas, dispatch, signal, untilCaughtUp: true });
    };
    const observe = (exposed: string, errors: string) => {
      const given = {
        from: new Date(now - 20_000).toISOString(),
        to: new Date(now).toISOString(),
        'exposed-requests': exposed,
        'exposed-errors': errors,
        'control-requests': '9000',
        'control-errors': '9',
      };
      const options = Object.entries(given).map(([name, value]) => `--${name}=${value}`);
      return world('ramps', 'observe', 'new-checkout', ...options);
    };
    await after(0);
    await world('flags', 'set', 'new-checkout', '--pct', '0', ...by);
    return { world, after, observe };
  };

  it('takes its steps, freezes without data, and goes on when a person has acknowledged that', async () => {
    const { world, after, observe } = await opened();
    const started = await world('ramps', 'start', 'new-checkout', '--by', 'Ada', '--hold-seconds', '60');
    expect(started.stdout).to.match(/^the ramp of new-checkout to 10, 50, 100 % has begun/);
    await after(1);
    const shows = async () => (await world('ramps', 'status', 'new-checkout')).stdout;
    expect(await shows()).to.match(/^new-checkout is at 10 %\nramp .*\n.*\n.*\n.*\nobserved +nothing\n$/);
    await after(30);
    expect((await observe('2000', '2')).code).to.equal(0);
    expect(await shows()).to.match(/observed acme +2 of 2,000 failed with it, 9 of 9,000 without/);
    await after(40);
    expect(await shows()).to.match(/^new-checkout is at 50 %\n/);
    await after(70);
    expect(await shows()).to.match(/^new-checkout is at 50 %, frozen: missing\n/);
    expect((await world('flags', 'set', 'new-checkout', '--pct', '60', ...by)).code).to.equal(1);
    expect((await world('ramps', 'ack', 'new-checkout', ...by)).code).to.equal(0);
    await after(30);
    await observe('2000', '2');
    await after(40);
    expect(await shows()).to.equal('new-checkout is at 100 %\nno ramp is running\n');
  });

  it('a dry run says what it would do, and changes nothing', async () => {
    const { world, after, observe } = await opened();
    const dry = ['ramps', 'start', 'new-checkout', '--by', 'Ada', '--hold-seconds', '60', '--dry-run'];
    expect((await world(...dry)).stdout).to.match(/it changes nothing\n$/);
    await after(1);
    expect((await world('ramps', 'status', 'new-checkout')).stdout).to.match(
      /is at 0 %\ndry run .*\n.*would be at 10 %/,
    );
    await after(30);
    await observe('NaN', '2');
    await after(1);
    expect((await world('ramps', 'status', 'new-checkout')).stdout).to.equal(
      'new-checkout is at 0 %\nno ramp is running\n',
    );
    const trace = await world('sagas', 'trace', 'ramps', '--saga', 'ramps');
    expect(trace.stdout).to.match(/FreezeFlag, recorded as fact \d+ \(flags\.RampAdvised\)/);
  });

  it('tells what Prometheus says, empty series and NaN as they are, and nothing where it says nothing', async () => {
    const { world, after } = await opened();
    await world('ramps', 'start', 'new-checkout', '--by', 'Ada', '--hold-seconds', '60');
    await after(1);
    await after(30);
    const asked: string[] = [];
    const queries = ['exposed-requests', 'exposed-errors', 'control-requests', 'control-errors'].map(
      (name) => `--${name}=${name}[{window}]`,
    );
    const collect = (values: { readonly [name: string]: string }) =>
      world.with(
        {
          series: () => async (query) => {
            asked.push(query.query);
            return values[query.query.split('[')[0] ?? ''];
          },
        },
        'ramps',
        'collect',
        'new-checkout',
        '--window-seconds',
        '20',
        ...queries,
      );
    const good = {
      'exposed-requests': '2000.5',
      'exposed-errors': '2',
      'control-requests': '9000',
      'control-errors': '9',
    };
    const first = await collect(good);
    expect(first.code, first.stderr).to.equal(0);
    expect(asked[0]).to.equal('exposed-requests[20s]');
    expect(first.stdout).to.include('with it: 2 of 2000.5 failed');
    const status = async () => (await world('ramps', 'status', 'new-checkout')).stdout;
    expect(await status()).to.match(/observed acme +2 of 2,001 failed/);
    const silent = await world.with(
      {
        series: () => async () => {
          throw new PrometheusFault('Prometheus did not answer within 10000 ms');
        },
      },
      'ramps',
      'collect',
      'new-checkout',
      ...queries,
    );
    expect(silent.code).to.equal(3);
    expect(silent.stderr).to.match(/did not answer within 10000 ms; nothing was recorded/);
    expect(await status(), 'as it was').to.match(/observed acme +2 of 2,001 failed/);
    await collect({ ...good, 'exposed-errors': 'NaN' });
    await after(1);
    expect(await status()).to.match(/is at 10 %, frozen: unusable/);
  });

  it('refuses what cannot be, by name', async () => {
    const { world, observe } = await opened();
    const start = ['ramps', 'start', 'new-checkout', '--by', 'Ada'];
    for (const steps of ['0,10', 'ten', '10,,101'])
      expect((await world(...start, '--steps', steps)).code, steps).to.equal(2);
    expect((await world(...start, '--steps', '50,10')).stderr).to.match(/give steps that ascend/);
    expect((await observe('1', '1')).stderr).to.match(/no ramp of new-checkout is running/);
    expect((await world('ramps', 'stop', 'new-checkout', ...by)).code).to.equal(1);
    expect((await world(...start)).code).to.equal(0);
    expect((await world(...start)).stderr).to.match(/is running; stop it first/);
    const times = ['--from', '2026-11-21T09:59:00Z', '--to', '2026-11-21T10:00:00Z'];
    expect((await world('ramps', 'observe', 'new-checkout', ...times)).code).to.equal(0);
    expect((await world('ramps', 'status', 'new-checkout')).stdout).to.match(/nothing can be told: empty/);
    expect((await world('ramps', 'stop', 'new-checkout', ...by)).code).to.equal(0);
  });
});
