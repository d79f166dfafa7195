import { expect } from 'chai';
import fc from 'fast-check';
import {
  dayText,
  factId,
  type Instant,
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

const FIRST = Date.parse('0001-01-01T00:00:00.000Z');
const LAST = Date.parse('9999-12-31T23:59:59.999Z');

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
      for (const raw of ['2000-02-29T00:00:00Z', '2400-02-29T23:59:59-23:59'])
        expect(isInstant(raw), raw).to.equal(true);
    });

    it('ends with the years that a database has days for, in UTC', () => {
      const inside = [
        ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
        ['0000-12-31T23:00:00-01:00', '0001-01-01T00:00:00.000Z'],
        ['9999-12-31T23:59:59.999999999Z', '9999-12-31T23:59:59.999Z'],
        ['9999-12-31T23:59:59-00:00', '9999-12-31T23:59:59.000Z'],
      ] as const;
      for (const [raw, text] of inside) expect(instantText(instant(raw)), raw).to.equal(text);
      const outside = [
        '0000-01-01T00:00:00Z',
        '0000-02-29T00:00:00Z',
        '0000-12-31T23:59:59.999Z',
        '0001-01-01T00:00:00+00:01',
        '9999-12-31T23:59:59.999-00:01',
      ];
      for (const raw of outside) {
        expect(isInstant(raw), raw).to.equal(false);
        expect(() => instant(raw), raw).to.throw(
          MalformedId,
          'use one from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999Z',
        );
      }
    });

    it('takes a well-formed date-time just when its UTC year has four digits and is not 0000', () => {
      const minutes = fc.integer({ min: -1439, max: 1439 });
      const edge = fc
        .constantFrom(FIRST - 86_400_000, LAST - 86_400_000)
        .chain((from) => fc.integer({ min: from, max: from + 2 * 86_400_000 }));
      const local = fc.oneof(edge, fc.integer({ min: FIRST, max: LAST }));
      fc.assert(
        fc.property(local, minutes, (at, offset) => {
          const wall = new Date(at).toISOString();
          fc.pre(/^\d{4}-/.test(wall));
          const zone = [Math.trunc(Math.abs(offset) / 60), Math.abs(offset) % 60]
            .map((part) => String(part).padStart(2, '0'))
            .join(':');
          const raw = wall.replace('Z', `${offset < 0 ? '-' : '+'}${zone}`);
          const utc = at - offset * 60_000;
          expect(isInstant(raw), raw).to.equal(utc >= FIRST && utc <= LAST);
          if (isInstant(raw)) expect(instant(raw), raw).to.equal(utc);
        }),
        { numRuns: 2000 },
      );
    });
  });

  describe('instantText', () => {
    it('writes what Date writes, at the edges of every unit and over the whole range', () => {
      const agrees = (at: number): void => {
        expect(instantText(at as Instant)).to.equal(new Date(at).toISOString());
      };
      const units = [1, 10, 100, 1_000, 10_000, 60_000, 3_600_000, 36_000_000, 86_400_000];
      for (const unit of units)
        for (const off of [-unit - 1, -unit, 1 - unit, -1, 0, 1, unit - 1, unit, unit + 1]) agrees(off);
      for (const at of [FIRST - 1, FIRST, FIRST + 1, LAST - 1, LAST, LAST + 1, -8.64e15, 8.64e15]) agrees(at);
      fc.assert(fc.property(fc.integer({ min: FIRST, max: LAST }), agrees), { numRuns: 5000 });
    });
  });

  describe('dayText', () => {
    it('agrees with Date over the whole range of instants', () => {
      const agrees = (at: number): void => {
        const day = dayText(at as Instant);
        if (day !== new Date(at).toISOString().slice(0, 10)) expect.fail(`${at}: ${day}`);
      };
      for (const at of [FIRST, FIRST + 86_399_999, -1, 0, LAST - 86_399_999, LAST]) agrees(at);
      // Every month's first and last millisecond of every year.
      for (let month = 1 * 12; month <= 9999 * 12 + 11; month++) {
        const first = new Date(0);
        first.setUTCFullYear(Math.floor(month / 12), month % 12, 1);
        agrees(first.getTime());
        if (first.getTime() > FIRST) agrees(first.getTime() - 1);
      }
      fc.assert(fc.property(fc.integer({ min: FIRST, max: LAST }), agrees), { numRuns: 5000 });
    });
  });
});
