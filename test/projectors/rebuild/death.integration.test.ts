// A rebuild that dies, at whichever point, or stands still and wakes: the rows in use are untouched by it, and the next
// rebuild comes to its end.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { REBUILD_POINTS, type RebuildPoint } from '#projectors/rebuild/points.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { ACME, GLOBEX } from '../chains.ts';
import { mixture, tally } from '../tally.ts';
import { type History, history } from './history.ts';

const sound = (length: number) => mixture(length).map((said) => (said.payload ? { type: said.type } : said));

interface Child {
  readonly process: ChildProcess;
  readonly said: Promise<string>;
}

describe('a rebuild that dies', function () {
  this.timeout(180_000);
  let past: History;
  const children = new Set<ChildProcess>();
  beforeEach(async () => {
    past = await history();
    await past.say(ACME, sound(60));
    await past.say(GLOBEX, sound(30));
    await past.follow();
  });
  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL');
    children.clear();
    await past[Symbol.asyncDispose]();
  });

  const child = (point: RebuildPoint, signal: string, leaseMs = 10_000): Child => {
    const args = [join(import.meta.dirname, 'rebuild-child.ts'), past.url, point, signal, String(leaseMs)];
    const started = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    children.add(started);
    let text = '';
    started.stdout.setEncoding('utf8').on('data', (more: string) => {
      text += more;
    });
    const said = new Promise<string>((resolve) => started.once('close', () => resolve(text.trim())));
    return { process: started, said };
  };

  const states = async (): Promise<readonly string[]> =>
    (
      await past.pool.query<{ state: string }>(
        `SELECT state FROM projections.builds WHERE projection = 'tally' ORDER BY build`,
      )
    ).rows.map(({ state }) => state);

  it('loses its connections at every point in turn: rows stay, and the next rebuild comes to its end', async () => {
    const sane = await past.shown('tally');
    const died: RebuildPoint[] = [];
    for (const point of REBUILD_POINTS) {
      // Its own connections, which end all at once, as those of a killed process do.
      const pool = connect({ url: past.url, max: 6, role: RUNTIME_ROLE });
      const clients = new Set<{ connection: { stream: { destroy: () => void } } }>();
      pool.on('connect', (client) => clients.add(client as never));
      const at = (now: RebuildPoint): void => {
        if (now !== point || died.at(-1) === point) return;
        died.push(point);
        for (const { connection } of clients) connection.stream.destroy();
        throw new RebuildError('interrupted', 'killed by the test');
      };
      const failure = await past.rebuild(tally, { pool, at }).catch((error: unknown) => error);
      await pool.end();
      expect(failure, point).to.be.instanceOf(RebuildError);
      expect(await past.shown('tally'), `killed at ${point}`).to.deep.equal(sane);
      const again = await past.rebuild(tally);
      expect(await past.shown('tally'), `after ${point}`).to.deep.equal(sane);
      const over = point === 'switched' || point === 'released';
      expect(again.resumed, `resumed after ${point}`).to.equal(!over);
      expect((await states()).filter((state) => state === 'live')).to.have.length(1);
      expect((await states()).filter((state) => state === 'building' || state === 'proved')).to.deep.equal(
        [],
      );
    }
    expect(died).to.deep.equal([...REBUILD_POINTS]);
    await past.say(ACME, sound(9));
    await past.follow();
    const { rows } = await past.pool.query(
      `SELECT DISTINCT lag_facts, state FROM views.projection_status WHERE projection = 'tally'`,
    );
    expect(rows).to.deep.equal([{ lag_facts: 0, state: 'current' }]);
  });

  for (const point of ['chunk-copied', 'switch-made'] as const) {
    it(`by kill -9 (${point}): is taken up at once`, async () => {
      const sane = await past.shown('tally');
      expect(await child(point, 'SIGKILL').said).to.equal('');
      expect(await past.shown('tally')).to.deep.equal(sane);
      const startedAt = performance.now();
      expect((await past.rebuild(tally)).resumed).to.equal(true);
      // The lease is ten seconds: nobody waited for it.
      expect(performance.now() - startedAt).to.be.lessThan(9_000);
      expect(await past.shown('tally')).to.deep.equal(sane);
    });
  }

  it('does not die: a second one is refused meanwhile, and names the first', async () => {
    const failure = Promise.withResolvers<Error>();
    await past.rebuild(tally, {
      owner: 'the first',
      at: async (point) => {
        if (point === 'indexed')
          await past.rebuild(tally).then(
            () => failure.resolve(new Error('it was not refused')),
            (error: Error) => failure.resolve(error),
          );
      },
    });
    const error = await failure.promise;
    expect(error).to.be.instanceOf(RebuildError).with.property('code', 'under-way');
    expect(error.message).to.contain('is being rebuilt by the first');
  });

  it('whose build another has taken over writes nothing more, before it has noticed', async () => {
    const at = async (point: RebuildPoint): Promise<void> => {
      if (point === 'claimed')
        await past.owner.query(`UPDATE projections.builds SET epoch = epoch + 1 WHERE state = 'building'`);
    };
    const failure = await past.rebuild(tally, { at }).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(RebuildError).with.property('code', 'lost-lease');
    const { rows } = await past.owner.query('SELECT FROM projections.tally_v1_b2');
    expect(rows).to.have.length(0);
  });

  it('stands still past its lease: another takes over, and when it wakes it changes nothing', async () => {
    const sane = await past.shown('tally');
    const sleeper = child('chunk-copied', 'SIGSTOP', 1_000);
    const stopped = async (): Promise<boolean> =>
      (
        await past.pool.query(
          `SELECT FROM projections.builds WHERE projection = 'tally' AND state = 'building' AND lease_until < now()`,
        )
      ).rowCount === 1;
    for (let look = 0; !(await stopped()); look += 1) {
      if (look === 600) throw new Error('it never stood still');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    // Its open transaction holds the build's line: the server ends it.
    expect((await past.rebuild(tally)).resumed).to.equal(true);
    expect(await past.shown('tally')).to.deep.equal(sane);
    sleeper.process.kill('SIGCONT');
    // It finds its connection gone, tries again, and finds that there is nothing left to go on with.
    expect(await sleeper.said).to.equal('lost-lease');
    expect(await past.shown('tally')).to.deep.equal(sane);
    expect(await states()).to.deep.equal(['kept', 'live']);
  });

  it('stands still between two transactions: another comes to its end meanwhile', async () => {
    const sane = await past.shown('tally');
    const sleeper = child('filled', 'SIGSTOP', 1_000);
    for (let look = 0; ; look += 1) {
      const { rowCount } = await past.pool.query(
        `SELECT FROM projections.builds WHERE projection = 'tally' AND state = 'building' AND lease_until < now()`,
      );
      if (rowCount === 1) break;
      if (look === 600) throw new Error('it never stood still');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect((await past.rebuild(tally)).resumed).to.equal(true);
    await past.say(ACME, sound(5));
    await past.follow();
    const now = await past.shown('tally');
    sleeper.process.kill('SIGCONT');
    expect(await sleeper.said).to.equal('lost-lease');
    expect(await past.shown('tally')).to.deep.equal(now);
    expect(now).to.not.deep.equal(sane);
    expect(await states()).to.deep.equal(['kept', 'live']);
  });
});
