import { expect } from 'chai';
import { type RouteDay, routeDay, type TenantDay, tenantDay } from '#gateway/attestation/day.ts';
import type { DriftEvent } from '#sagas/attestations.ts';
import type { Fact } from '#schemas/event.ts';
import type { Instant } from '#schemas/ids.ts';
import { ACME } from '#test/projectors/chains.ts';

const DAY = { from: 1_000 as Instant, to: 2_000 as Instant };

type Said = readonly [at: number, type: string, data?: object];

const facts = (...said: readonly Said[]) =>
  said.map(
    ([recordedAt, type, data = {}], index) =>
      ({
        seq: index + 1,
        id: `f-${index}`,
        type,
        recordedAt,
        data: { route: 'receipts', ...data },
      }) as unknown as Fact<DriftEvent>,
  );
const attested = (at: number, verdict: string, divergent = 0) =>
  [at, 'attestations.AttestationRecorded', { verdict, divergent, left_seq: at }] as const;

describe('gateway/attestation: a day', () => {
  const day = (...said: readonly Said[]) => routeDay('receipts', facts(...said), DAY);

  it('two clean attestations let a ramp go on', () => {
    expect(day(attested(1_100, 'clean'), attested(1_200, 'clean'))).to.deep.equal({
      route: 'receipts',
      attestations: { clean: 2, divergent: 0, lag: 0 },
      divergent: 0,
      alarms: 0,
      write_path: 'open',
      ramp: { recommendation: 'advance', reasons: [] },
    });
  });

  it('what was found on another day is not of this one', () => {
    const { attestations, divergent, ramp } = day(
      attested(999, 'clean'),
      attested(1_100, 'clean'),
      attested(2_000, 'clean'),
    );
    expect({ attestations, divergent }).to.deep.equal({
      attestations: { clean: 1, divergent: 0, lag: 0 },
      divergent: 0,
    });
    expect(ramp).to.deep.equal({
      recommendation: 'hold',
      reasons: ['1 clean attestations on record that day, 2 are wanted'],
    });
  });

  it('nothing known is no permission', () => {
    expect(day().ramp.recommendation).to.equal('hold');
    expect(day(attested(1_100, 'lag'), attested(1_200, 'lag')).ramp.recommendation).to.equal('hold');
    expect(day(attested(1_100, 'lag')).divergent, 'lag says nothing of elements').to.equal(null);
  });

  it('a difference, an alarm or a closed write path freezes, also one of an earlier day', () => {
    expect(
      day(attested(1_100, 'divergent', 3), attested(1_200, 'clean'), attested(1_300, 'clean')).ramp,
    ).to.deep.include({ recommendation: 'freeze' });
    const closed = day(
      [900, 'gates.WritePathRolledBack', { epoch: 1, reason: 'x' }],
      attested(1_100, 'clean'),
      attested(1_200, 'clean'),
    );
    expect(closed).to.deep.include({ write_path: 'closed' });
    expect(closed.ramp).to.deep.equal({ recommendation: 'freeze', reasons: ['the write path is closed'] });
  });

  const totalled = (types: Record<string, number>, routes: readonly RouteDay[], before?: TenantDay) =>
    tenantDay({
      tenant: ACME,
      types: new Map(Object.entries(types)),
      attestedTypes: new Set(['receipts.ReceiptRecorded']),
      routes,
      before,
    });

  it('the share of attested facts is cut off, and none on a day without facts', () => {
    const types = { 'receipts.ReceiptRecorded': 199, 'tenants.TokenIssued': 1 };
    expect(totalled(types, [])).to.include({ facts: 200, attested_facts: 199, attested_pct: 99 });
    expect(totalled({}, [])).to.include({ facts: 0, attested_pct: null });
  });

  it('the difference to the day before is of the same tenant, or none', () => {
    const yesterday = totalled({ 'receipts.ReceiptRecorded': 100 }, [day(attested(1_100, 'divergent', 3))]);
    expect(yesterday.difference).to.equal(null);
    const today = totalled({ 'receipts.ReceiptRecorded': 90, 'tenants.TokenIssued': 10 }, [day()], yesterday);
    expect(today.difference).to.deep.equal({ facts: 0, attested_pct: -10, divergent: -3, alarms: 0 });
    expect(totalled({}, [], yesterday).difference).to.deep.include({ attested_pct: null });
  });
});
