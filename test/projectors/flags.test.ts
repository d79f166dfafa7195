import { expect } from 'chai';
import { foldBatch } from '#projectors/batch.ts';
import { flags } from '#projectors/flags.ts';
import { decodeFact } from '#schemas/index.ts';
import { ACME, chain, type Said } from './chains.ts';

describe('projectors/flags', () => {
  const said = (name: string, data: object = {}): Said => ({
    type: `flags.${name}`,
    data: { feature: 'new-checkout', reason: 'the release', ...data },
  });
  const ramp = { ramp_id: 'r-1' };
  const policy = {
    ...ramp,
    from_pct: 0,
    steps: [10, 100],
    hold_seconds: 60,
    age_max_seconds: 60,
    samples_min: 1,
    error_ppm_max: 0,
    added_ppm_max: 0,
    canaries: [],
    dry_run: false,
  };
  const set = said('FlagSet', { pct: 0, description: 'the new one' });
  const begun = (over: object = {}): Said => ({
    type: 'flags.RampStarted',
    data: { feature: 'new-checkout', ...policy, ...over },
  });
  const started = begun();

  /** Given these facts, the flags. */
  const rowsOf = (...facts: readonly Said[]) => [
    ...foldBatch(flags, chain(ACME, facts).map(decodeFact) as never, new Map()).changes.upserts.values(),
  ];

  it('has a row per feature, from its first setting on', () => {
    const [row, ...others] = rowsOf(set, said('FlagSet', { pct: 5, reason: 'a few' }));
    expect(others).to.deep.equal([]);
    expect(row).to.deep.include({
      feature: 'new-checkout',
      status: 'set',
      pct: 5,
      description: 'the new one',
      reason: 'a few',
      moved_by: 'test',
      moved_seq: 2,
      last_seq: 2,
    });
  });

  it('shows the ramp while it is running, and what it has come to', () => {
    const observed = said('RampObserved', ramp);
    expect(rowsOf(set, started, observed)[0]).to.deep.include({
      ramp_id: 'r-1',
      dry_run: false,
      observations: 1,
      pct: 0,
      moved_seq: 1,
    });
    const stepped = said('FlagRamped', { ...ramp, from_pct: 0, to_pct: 10 });
    expect(rowsOf(set, started, stepped)[0]).to.deep.include({ pct: 10, moved_seq: 3 });
    const ended = said('RampEnded', { ...ramp, outcome: 'completed' });
    expect(rowsOf(set, started, stepped, ended)[0]).to.deep.include({ ramp_id: null, pct: 10, last_seq: 4 });
  });

  it('a freeze, its end and a retirement keep the share', () => {
    const frozen = said('FlagFrozen', { cause: 'stale' });
    expect(rowsOf(set, frozen)[0]).to.deep.include({ status: 'frozen', freeze_cause: 'stale', pct: 0 });
    const acknowledged = said('FreezeAcknowledged');
    expect(rowsOf(set, frozen, acknowledged)[0]).to.deep.include({ status: 'set', freeze_cause: null });
    expect(rowsOf(set, said('FlagRetired'))[0]).to.deep.include({ status: 'retired', moved_seq: 2 });
  });

  it('what a dry run says moves nothing', () => {
    const dry = begun({ dry_run: true });
    const advised = said('RampAdvised', { ...ramp, to_pct: 10 });
    expect(rowsOf(set, dry, advised)[0]).to.deep.include({
      pct: 0,
      dry_run: true,
      moved_seq: 1,
      last_seq: 3,
    });
  });
});
