// How a process runs the jobs that it was asked for: what it does when it is told to stop, loses a job, or is not heard.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { type Jobs, type JobsOptions, projectionJobs } from '#gateway/projections/jobs.ts';
import type { Job, JobRegister } from '#projectors/postgres/jobs.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { StreamError } from '#streams/errors.ts';
import { type HeldReadModels, heldReadModels } from '../http/held-read-models.ts';
import { type HeldRegister, heldRegister } from './held-register.ts';

describe('gateway/projections: jobs', () => {
  let held: HeldReadModels;
  let register: HeldRegister;
  let faults: unknown[];
  beforeEach(() => {
    held = heldReadModels();
    register = heldRegister(() => 0);
    faults = [];
  });

  const jobsOn = (over: Partial<JobRegister> = {}, options: Partial<JobsOptions> = {}): Jobs =>
    projectionJobs({
      readModels: held,
      register: { ...register, ...over },
      runner: 'here/1',
      onFault: (error) => faults.push(error),
      beatMs: 2,
      ...options,
    });
  const begin = async (jobs: Jobs): Promise<Job> =>
    (await jobs.begin({ kind: 'rebuild', projection: 'receipts', actor: 'operators/ada' })).job;
  const work = () => held.work[0] as HeldReadModels['work'][number];
  const ended = async (): Promise<Job> => {
    for (;;) {
      const [job] = register.jobs;
      if (job && job.state !== 'running') return job;
      await pause(1);
    }
  };
  const done = { facts: 9, rows: 3, tenants: 1, version: 1, build: 2, proofs: [] };

  it('are ended with their process, which waits until the register says so', async () => {
    const jobs = jobsOn();
    await begin(jobs);
    await jobs[Symbol.asyncDispose]();
    expect(register.jobs[0]).to.include({ state: 'interrupted' }).and.not.have.property('failure');
    expect(faults).to.deep.equal([]);
  });

  it('that came to their end although they were told to stop are done', async () => {
    await using jobs = jobsOn();
    const { id } = await begin(jobs);
    work().settle(done);
    await jobs.cancel('receipts', id, 'operators/bob');
    expect(await ended()).to.include({ state: 'done' });
  });

  it('that are another process’s now are left to that one', async () => {
    await using jobs = jobsOn();
    const { id } = await begin(jobs);
    register.silence(id);
    const { request } = work();
    while (!request.signal.aborted) await pause(1);
    await pause(5);
    expect(register.jobs).to.have.length(1);
    expect(register.jobs[0]).to.include({ state: 'interrupted' });
    expect(faults).to.deep.equal([]);
  });

  it('go on while the register does not answer, and say what they came to when it does', async () => {
    let away = true;
    let asked = 0;
    const unheard =
      <A extends unknown[], T>(work: (...args: A) => Promise<T>) =>
      (...args: A): Promise<T> => {
        asked += 1;
        return away ? Promise.reject(new StreamError('unavailable', 'away')) : work(...args);
      };
    await using jobs = jobsOn({ beat: unheard(register.beat), end: unheard(register.end) });
    await begin(jobs);
    const { request, settle } = work();
    request.onProgress({ phase: 'proving', facts: 9, total: 9 });
    while (asked < 3) await pause(1);
    expect(request.signal.aborted).to.equal(false);
    settle(done);
    while (asked < 6) await pause(1);
    expect(register.jobs[0]?.state).to.equal('running');
    away = false;
    expect(await ended()).to.deep.include({ state: 'done', phase: 'proving', facts: 9 });
  });

  it('whose end cannot be written do not hold up the end of their process', async () => {
    const away = () => Promise.reject(new StreamError('unavailable', 'away'));
    const jobs = jobsOn({ beat: away, end: away }, { beatMs: 60_000 });
    await begin(jobs);
    await jobs[Symbol.asyncDispose]();
    expect(faults.map((error) => (error as StreamError).code)).to.deep.equal(['unavailable']);
  });

  it('that fail say why; what callers cannot know of is told to the operator of the process', async () => {
    for (const [error, code, told] of [
      [new RebuildError('not-equal', 'other rows'), 'not-equal', 0],
      [new StreamError('forbidden', 'not the owner'), 'forbidden', 1],
      [new TypeError('undefined is not a function'), 'internal-error', 1],
    ] as const) {
      faults.length = 0;
      register.jobs.length = 0;
      await using jobs = jobsOn();
      await begin(jobs);
      held.work.pop()?.settle(error);
      const { state, failure } = await ended();
      expect([state, failure?.code, faults.length]).to.deep.equal(['failed', code, told]);
      if (code === 'internal-error') expect(failure?.message).to.not.include('function');
    }
  });
});
