// The register of jobs, as two processes on one database see it.
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { JOBS_KEPT, type JobRegister, jobRegister, type NewJob } from '#projectors/postgres/jobs.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { ACME, type ProjectionDatabase, projectionDatabase } from '../chains.ts';

const wanted = (over: Partial<NewJob> = {}): NewJob => ({
  id: randomUUID(),
  projection: 'tally',
  kind: 'verification',
  actor: 'operators/ada',
  runner: 'here/1',
  ...over,
});
const progress = { phase: 'filling', facts: 30, total: 90 };

describe('projectors/postgres: the register of jobs', () => {
  let db: ProjectionDatabase;
  let here: JobRegister;
  let there: JobRegister;
  let close: () => Promise<void>;
  beforeEach(async () => {
    db = await projectionDatabase([]);
    const other = connect({ url: db.database.url, max: 2, role: RUNTIME_ROLE });
    here = jobRegister({ pool: db.pool });
    there = jobRegister({ pool: other });
    close = () => other.end();
  });
  afterEach(async () => {
    await close();
    await db[Symbol.asyncDispose]();
  });

  /** The process of a job has been silent for longer than it may. */
  const silence = (id: string) =>
    db.owner.query("UPDATE projections.jobs SET lease_until = now() - interval '1 second' WHERE job = $1", [
      id,
    ]);

  it('lets one of many begin, and tells the others which one', async () => {
    const asked = Array.from({ length: 8 }, (_, index) => wanted({ runner: `here/${index}` }));
    const answers = await Promise.all(asked.map((each, index) => (index % 2 ? here : there).begin(each)));
    const begun = answers.filter((each) => each.begun);
    expect(begun).to.have.length(1);
    expect(new Set(answers.map(({ job }) => job.id))).to.deep.equal(new Set([begun[0]?.job.id]));
    expect((await there.begin(wanted({ projection: 'log' }))).begun, 'another read model').to.equal(true);
  });

  it('tells every process how far a job is, and what it came to', async () => {
    const { job } = await here.begin(wanted({ kind: 'rebuild', tenant: ACME }));
    expect(job).to.include({ kind: 'rebuild', tenant: ACME, state: 'running', phase: 'waiting', facts: 0 });
    expect(await here.beat(job.id, progress)).to.equal('goes-on');
    expect(await there.find('tally', job.id)).to.deep.equal({ ...job, ...progress });
    const result = { facts: 90, rows: 4, unequal: [{ tenant: ACME, seq: 3 as never, message: 'other' }] };
    await here.end(job.id, { state: 'done', result });
    const done = await there.find('tally', job.id);
    expect(done).to.deep.include({ state: 'done', result });
    expect(done?.finishedAt).to.be.at.least(job.startedAt);
    await here.end(job.id, { state: 'cancelled' });
    expect(await there.find('tally', job.id), 'what has ended stays').to.deep.equal(done);
    expect(await there.find('log', job.id), 'of another read model').to.equal(undefined);
    const { job: next } = await there.begin(wanted());
    const failure = { code: 'halted', message: 'no such thing' };
    await there.end(next.id, { state: 'failed', failure });
    expect((await here.list('tally')).map(({ id, state }) => ({ id, state }))).to.deep.equal([
      { id: next.id, state: 'failed' },
      { id: job.id, state: 'done' },
    ]);
    expect((await here.find('tally', next.id))?.failure).to.deep.equal(failure);
  });

  it('passes the wish to end a job on to the process that runs it', async () => {
    const { job } = await here.begin(wanted());
    expect(await there.cancel('tally', job.id, 'operators/bob')).to.deep.equal({
      ...job,
      cancelledBy: 'operators/bob',
    });
    expect((await there.cancel('tally', job.id, 'operators/eve'))?.cancelledBy).to.equal('operators/bob');
    expect(await there.cancel('log', job.id, 'operators/bob')).to.equal(undefined);
    expect(await here.beat(job.id, progress)).to.equal('cancelled');
    await here.end(job.id, { state: 'cancelled' });
    const ended = await there.cancel('tally', job.id, 'operators/eve');
    expect(ended).to.include({ state: 'cancelled', cancelledBy: 'operators/bob' });
  });

  it('says of a job whose process fell silent that it is interrupted, and lets the next begin', async () => {
    const { job } = await here.begin(wanted());
    await silence(job.id);
    const told = await there.find('tally', job.id);
    expect(told).to.include({ state: 'interrupted' });
    expect(told?.finishedAt, 'until when it was heard of').to.be.a('number');
    const asked = await there.cancel('tally', job.id, 'operators/bob');
    expect(asked).to.include({ state: 'interrupted' }).and.not.have.property('cancelledBy');
    expect(await here.beat(job.id, progress), 'it speaks again before anybody has begun').to.equal('goes-on');
    expect((await there.begin(wanted())).begun).to.equal(false);
    await silence(job.id);
    const next = await there.begin(wanted());
    expect(next.begun).to.equal(true);
    expect(await here.beat(job.id, progress)).to.equal('lost');
    await here.end(job.id, { state: 'done', result: {} });
    expect((await there.list('tally')).map(({ id, state }) => ({ id, state }))).to.deep.equal([
      { id: next.job.id, state: 'running' },
      { id: job.id, state: 'interrupted' },
    ]);
  });

  it(`keeps the last ${JOBS_KEPT} of each read model`, async () => {
    const { job: other } = await here.begin(wanted({ projection: 'log' }));
    for (let count = 0; count <= JOBS_KEPT; count += 1) {
      const { job } = await here.begin(wanted());
      await here.end(job.id, { state: 'interrupted' });
    }
    const { rows } = await db.owner.query(
      'SELECT projection, count(*) FROM projections.jobs GROUP BY 1 ORDER BY 1',
    );
    expect(rows.map((row) => Object.values(row as object))).to.deep.equal([
      ['log', 1],
      ['tally', JOBS_KEPT],
    ]);
    expect(await there.find('log', other.id)).to.deep.equal(other);
  });

  it('says what is missing in a database of an older program', async () => {
    await db.owner.query('DROP TABLE projections.jobs');
    const failure = await here.begin(wanted()).catch((error: unknown) => error);
    expect(failure).to.have.property('code', 'schema-mismatch');
  });
});
