import { expect } from 'chai';
import fc from 'fast-check';
import {
  factId,
  instant,
  instantText,
  isInstant,
  MalformedId,
  seq,
  sha256,
  streamName,
  tenantId,
} from '#schemas/ids.ts';
import { dateTime } from '#test/support/arbitraries.ts';

describe('schemas/ids', () => {
  it('parsers take what they name and refuse the rest with the rule', () => {
    const cases: readonly (readonly [(raw: never) => unknown, readonly unknown[], readonly unknown[]])[] = [
      [
        tenantId,
        ['ab', 'acme-2', `a${'b'.repeat(62)}`],
        ['', 'a', '2a', 'Acme', 'a_b', 'a\n', `a${'b'.repeat(63)}`],
      ],
      [
        factId,
        ['0190a000-0000-7000-8000-000000000001'],
        ['', '0190A000-0000-7000-8000-000000000001', '0190a000000070008000000000000001'],
      ],
      [seq, [0, 1, Number.MAX_SAFE_INTEGER], [-1, 0.5, Number.NaN, 2 ** 53]],
      [sha256, ['0f'.repeat(32)], ['0F'.repeat(32), '0f'.repeat(31), '']],
    ];
    for (const [parse, good, bad] of cases) {
      for (const raw of good) expect(parse(raw as never)).to.equal(raw);
      for (const raw of bad)
        expect(() => parse(raw as never), JSON.stringify(raw)).to.throw(MalformedId, ': use');
    }
    expect(streamName('tenants', 'acme')).to.equal('tenants-acme');
    expect(() => streamName('tenants', 'a b')).to.throw(MalformedId, 'white space');
  });

  describe('instant', () => {
    it('agrees with Date on every date-time there is', () => {
      fc.assert(
        fc.property(dateTime, (raw) => void expect(instant(raw)).to.equal(Math.floor(Date.parse(raw)))),
        { numRuns: 2000 },
      );
    });

    it('agrees with Date on every day of eight hundred years', () => {
      const first = Date.UTC(1601, 0, 1);
      for (let day = 0; day < 292_194; day++) {
        const text = instantText((first + day * 86_400_000) as never);
        if (instant(text) !== first + day * 86_400_000) expect.fail(text);
      }
    });

    it('cuts off what is finer than a millisecond, also before 1970', () => {
      expect(instant('2026-11-21T09:00:00.1239Z')).to.equal(Date.UTC(2026, 10, 21, 9, 0, 0, 123));
      expect(instant('2026-11-21T09:00:00.1Z')).to.equal(Date.UTC(2026, 10, 21, 9, 0, 0, 100));
      expect(instant('2026-11-21T09:00:00.01+01:00')).to.equal(Date.UTC(2026, 10, 21, 8, 0, 0, 10));
      expect(instant('1969-12-31T23:59:59.9999Z')).to.equal(-1);
    });

    it('takes nothing that RFC 3339 forbids, and none of its loose spellings', () => {
      const bad = [
        '2026-02-29T00:00:00Z',
        '1900-02-29T00:00:00Z',
        '2026-04-31T00:00:00Z',
        '2026-13-01T00:00:00Z',
        '2026-00-01T00:00:00Z',
        '2026-01-00T00:00:00Z',
        '2026-01-01T24:00:00Z',
        '2026-01-01T00:60:00Z',
        '2026-01-01T00:00:60Z',
        '2026-01-01T00:00:00',
        '2026-01-01T00:00:00+24:00',
        '2026-01-01T00:00:00+01',
        '2026-01-01 00:00:00Z',
        '2026-01-01t00:00:00z',
        '2026-01-01T00:00:00.Z',
        '2026-01-01T00:00:00.1234567890Z',
        '2026-01-01',
        '',
        '2026-01-01T00:00:00Z\n',
      ];
      for (const raw of bad) {
        expect(isInstant(raw), raw).to.equal(false);
        expect(() => instant(raw), raw).to.throw(MalformedId, 'use for example');
      }
      for (const raw of ['2000-02-29T00:00:00Z', '2400-02-29T23:59:59-23:59', '0000-02-29T00:00:00Z'])
        expect(isInstant(raw), raw).to.equal(true);
    });
  });
});
