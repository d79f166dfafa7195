// Read models as of an earlier place: what was true then, all of them at the same fact, to each asker the rows that it may
// see, and nothing of it left when it is dropped or does not come to its end.
import { expect } from 'chai';
import { createAnalyst } from '#projectors/postgres/analysts.ts';
import type { Asked } from '#projectors/postgres/snapshots/position.ts';
import { dropSnapshot, listSnapshots } from '#projectors/postgres/snapshots/register.ts';
import {
  type SnapshotOptions,
  type SnapshotTaken,
  takeSnapshot,
} from '#projectors/postgres/snapshots/snapshot.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { rowHistory } from '#projectors/rebuild/row-history.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import { connect } from '#streams/postgres/connect.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { ACME, GLOBEX } from '../chains.ts';
import { type History, history } from '../rebuild/history.ts';
import { both, counted, decode, mixture, poison, TABLES, tally } from '../tally.ts';

const sound = (length: number) => mixture(length).map((said) => (said.payload ? { type: said.type } : said));

describe('a snapshot', function () {
  this.timeout(60_000);
  let past: History;
  beforeEach(async () => {
    past = await history();
  });
  afterEach(() => past[Symbol.asyncDispose]());

  const take = (name: string, asked: Asked, over: Partial<SnapshotOptions> = {}): Promise<SnapshotTaken> =>
    takeSnapshot({
      databases: oneDatabase(past.pool),
      store: past.store,
      projectors: both,
      folder: TABLES,
      decode,
      skips: async () => new Set(),
      name,
      asked,
      ...over,
    });

  const lines = async (relation: string): Promise<readonly string[]> =>
    (
      await past.pool.query<{ line: string }>(
        `SELECT t::text AS line FROM ${relation} t ORDER BY t::text COLLATE "C"`,
      )
    ).rows.map(({ line }) => line);

  const failureOf = (work: Promise<unknown>): Promise<Error> =>
    work.then(
      () => new Error('it was to fail'),
      (error: Error) => error,
    );

  it('at a place of one tenant has the rows that the live models had there', async () => {
    await past.say(ACME, sound(40));
    await past.follow();
    const then = { tally: await past.shown('tally'), log: await past.shown('log') };
    await past.say(ACME, sound(30));
    await past.say(GLOBEX, sound(20));
    await past.follow();
    const { models, position, schema } = await take('then', { kind: 'seq', tenant: ACME, seq: 40 as Seq });
    expect(schema).to.equal('as_of_then');
    expect(await lines('as_of_then.tally')).to.deep.equal(then.tally);
    expect(await lines('as_of_then.log')).to.deep.equal(then.log);
    expect(position.map(({ tenant, seq }) => [tenant, seq])).to.deep.equal([['acme', 40]]);
    expect(models.map(({ proofs }) => proofs[0]?.rows)).to.deep.equal([then.tally.length, then.log.length]);
    const { rows } = await past.pool.query('SELECT tenant, as_of_seq, facts_since FROM as_of_then.as_of');
    expect(rows).to.deep.equal([{ tenant: 'acme', as_of_seq: 40, facts_since: 30 }]);
  });

  it('of now stands at one place, also while facts are recorded', async () => {
    await past.say(ACME, sound(60));
    await past.say(GLOBEX, sound(25));
    await past.follow();
    const now = { tally: await past.shown('tally'), log: await past.shown('log') };
    let more: Promise<void> | undefined;
    await take(
      'today',
      { kind: 'now' },
      { onFacts: () => void (more ??= past.say(ACME, sound(5)).then(() => past.follow())) },
    );
    await more;
    expect(await lines('as_of_today.tally')).to.deep.equal(now.tally);
    expect(await lines('as_of_today.log')).to.deep.equal(now.log);
  });

  it('at a time has what was recorded by then, of every tenant', async () => {
    await past.say(ACME, sound(33));
    await past.say(GLOBEX, sound(7));
    await past.follow();
    const between = await lines('views.log');
    const pauseUntil = async (): Promise<Instant> => {
      const { rows } = await past.pool.query<{ ms: Instant }>(
        'SELECT (extract(epoch FROM max(recorded_at)) * 1000)::bigint AS ms FROM ledger.heads',
      );
      await new Promise((resolve) => setTimeout(resolve, 20));
      return rows[0]?.ms as Instant;
    };
    const time = await pauseUntil();
    await past.say(ACME, sound(12));
    await past.say(GLOBEX, sound(12));
    const { position } = await take('by_time', { kind: 'time', time });
    expect(position.map(({ tenant, seq }) => [tenant, seq])).to.deep.equal([
      ['acme', 33],
      ['globex', 7],
    ]);
    expect(await lines('as_of_by_time.log')).to.deep.equal(between);
    const before = await failureOf(take('too_early', { kind: 'time', time: 0 as Instant }));
    expect(before).to.be.instanceOf(RebuildError).with.property('code', 'nothing-there');
  });

  it('with more rows than may be held in memory has the same rows', async () => {
    await past.say(ACME, sound(120));
    await past.say(GLOBEX, sound(50));
    const few = await take('few', { kind: 'now' }, { maxRows: 2 });
    const many = await take('many', { kind: 'now' });
    expect(await lines('as_of_few.tally')).to.deep.equal(await lines('as_of_many.tally'));
    expect(few.models).to.deep.equal(many.models);
  });

  it("shows each analyst its tenant's rows, and nobody the tables behind", async () => {
    await past.say(ACME, sound(20));
    await past.say(GLOBEX, sound(20));
    await take('shown', { kind: 'now' });
    const role = `snap_${process.pid}`;
    const password = 'a-password-of-its-own';
    await createAnalyst(past.owner, { tenant: ACME, role, password });
    const url = Object.assign(new URL(past.url), { username: role, password });
    const analyst = connect({ url: url.href, max: 1 });
    try {
      for (const relation of [
        'as_of_shown.tally',
        'as_of_shown.log',
        'as_of_shown.as_of',
        'views.snapshots',
      ]) {
        const { rows } = await analyst.query<{ tenant: string; n: number }>(
          `SELECT tenant, count(*) AS n FROM ${relation} GROUP BY 1`,
        );
        expect(
          rows.map(({ tenant }) => tenant),
          relation,
        ).to.deep.equal(['acme']);
      }
      for (const refused of [
        'SELECT FROM as_of_shown.tally_rows',
        'SELECT FROM projections.snapshots',
        'CREATE TABLE as_of_shown.mine ()',
      ])
        expect((await failureOf(analyst.query(refused))).message, refused).to.match(
          /permission denied|read-only/,
        );
    } finally {
      await analyst.end();
      await past.owner.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });

  it('is listed, refused a second time, and gone when dropped', async () => {
    await past.say(ACME, sound(9));
    await take('one', { kind: 'now' });
    const again = await failureOf(take('one', { kind: 'now' }));
    expect(again).to.be.instanceOf(RebuildError).with.property('code', 'exists');
    expect(await lines('as_of_one.tally')).to.not.deep.equal([]);
    const [line] = await listSnapshots(past.pool);
    expect(line).to.include({ name: 'one', asked: 'the heads', tenants: 1, facts: 9, complete: true });
    await dropSnapshot(past.pool, 'one');
    expect(await listSnapshots(past.pool)).to.deep.equal([]);
    expect(await past.pool.query(`SELECT FROM pg_namespace WHERE nspname = 'as_of_one'`)).to.have.property(
      'rowCount',
      0,
    );
    const gone = await failureOf(dropSnapshot(past.pool, 'one'));
    expect(gone).to.be.instanceOf(RebuildError).with.property('code', 'nothing-there');
  });

  it('that cannot take a fact says which, leaves nothing, and passes over what was skipped', async () => {
    await past.say(ACME, [counted(['ada']), poison('ada'), counted(['ada'], 5)]);
    const error = await failureOf(take('poisoned', { kind: 'now' }));
    expect(error).to.be.instanceOf(RebuildError).with.property('code', 'halted');
    expect(error.message).to.match(
      /^tally cannot take fact 2 of acme: ada is poison; let it pass over the fact/,
    );
    expect(await listSnapshots(past.pool)).to.deep.equal([]);
    const skips = async (projection: string): Promise<ReadonlySet<Seq>> =>
      new Set(projection === 'tally' ? [2 as Seq] : []);
    await take('passed_over', { kind: 'now' }, { skips });
    const { rows } = await past.pool.query('SELECT name, total FROM as_of_passed_over.tally');
    expect(rows).to.deep.equal([{ name: 'ada', total: 6 }]);
  });

  it('that is not what the history says is never shown', async () => {
    await past.say(
      ACME,
      Array.from({ length: 30 }, () => counted(['ada'])),
    );
    let folds = 0;
    const forgetful = {
      ...tally,
      fold: (...[row, fact, key]: Parameters<typeof tally.fold>) => {
        const next = tally.fold(row, fact, key);
        folds += 1;
        return folds === 10 && next ? { ...next, total: next.total + 1 } : next;
      },
    };
    const error = await failureOf(take('wrong', { kind: 'now' }, { projectors: [forgetful] }));
    expect(error).to.be.instanceOf(RebuildError).with.property('code', 'not-equal');
    expect(await listSnapshots(past.pool)).to.deep.equal([]);
  });

  it('of a row is its history: each fact that touched it, and what it was then', async () => {
    await past.say(ACME, [
      counted(['ada'], 2),
      counted(['bob']),
      counted(['ada'], 3),
      { type: 'test.Cleared', data: { names: ['ada'] } },
      counted(['ada'], 7),
    ]);
    const moments: unknown[] = [];
    const asking = { store: past.store, projector: tally, tenant: ACME, key: ['ada'], decode };
    for await (const { fact, row } of rowHistory({ ...asking, skips: new Set([3 as Seq]) }))
      moments.push([fact.seq, row?.['total']]);
    expect(moments).to.deep.equal([
      [1, 2],
      [4, undefined],
      [5, 7],
    ]);
  });
});
