// StreamStore: every field comes back as it was given, whatever the adapter's own form of it.
import { expect } from 'chai';
import type { Draft, Recorded } from '#schemas/event.ts';
import { type Instant, streamName } from '#schemas/ids.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import {
  acme,
  append,
  draft,
  factsOf,
  type LedgerAdapter,
  openTenants,
  readAll,
  refused,
} from './ledger-adapter.ts';

/** What a fact says, without its place and without the fields that are absent. */
const said = (fact: Draft): Draft => {
  const {
    id,
    type,
    schemaVersion,
    stream,
    occurredAt,
    actor,
    opId,
    opParentId,
    region,
    traceparent,
    payload,
  } = fact;
  return JSON.parse(
    JSON.stringify({
      id,
      type,
      schemaVersion,
      stream,
      occurredAt,
      actor,
      opId,
      opParentId,
      region,
      traceparent,
      payload,
    }),
  );
};

export const fieldsContract = (adapter: LedgerAdapter): void => {
  describe('what is stored', () => {
    const texts: { readonly [name: string]: Partial<Draft> } = {
      'no optional field': {},
      'every field': {
        stream: streamName('tests', 'a'),
        opId: 'op',
        opParentId: 'parent',
        region: 'eu-west-1',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        schemaVersion: 3,
      },
      'text beyond ASCII': {
        actor: 'user:Žofie 🧾',
        opId: '日本',
        payload: '{"t":"naïve ☃ 🧾 e\u0301"}',
        stream: streamName('tests', 'ü'),
      },
      "quotes, backslashes, NUL's escape, separators": {
        actor: `a'b"c\\d\te`,
        payload: '{"t":"\\"\\\\\\u0000\u2028"}',
      },
      'a payload that says the same as the envelope': {
        actor: 'ada',
        opId: 'o',
        opParentId: 'p',
        region: 'r',
        payload: '{"actor":"ada","op_id":"o","op_parent_id":"p","region":"r"}',
      },
      'a payload that says otherwise than the envelope': {
        actor: 'ada',
        opId: 'o',
        opParentId: 'p',
        region: 'r',
        payload: '{"actor":"eve","op_id":"x","op_parent_id":"y","region":"z"}',
      },
      'a payload that has what the envelope has not': {
        payload: '{"actor":"eve","op_id":"x","op_parent_id":"y","region":"z"}',
      },
      'a payload whose members are no texts': {
        actor: '5',
        opId: 'null',
        region: 'true',
        payload: '{"actor":5,"op_id":null,"op_parent_id":[],"region":true}',
      },
      'a payload whose members are empty': {
        payload: '{"actor":"","op_id":"","op_parent_id":"","region":""}',
      },
      'a payload with a member named __proto__': {
        payload: '{"__proto__":{"actor":"eve","op_id":"x"},"a":1}',
      },
      'a payload that is no object': { payload: '["actor"]' },
      'an empty payload': { payload: '{}' },
      'a payload of 300 kB': { payload: `{"t":"${'x'.repeat(300_000)}"}` },
      'occurredAt before 1970': { occurredAt: -62_135_596_800_000 as Instant },
      'occurredAt in the year 0': { occurredAt: Date.parse('0000-01-01T00:00:00.001Z') as Instant },
      'occurredAt in the year 9999': { occurredAt: Date.parse('9999-12-31T23:59:59.999Z') as Instant },
      'occurredAt in the year 9999, where microseconds are no safe integers': {
        occurredAt: Date.parse('9999-12-31T23:59:59.998Z') as Instant,
      },
      'occurredAt in 2300, at an odd millisecond': {
        occurredAt: Date.parse('2300-01-01T00:00:00.333Z') as Instant,
      },
    };
    for (const [name, given] of Object.entries(texts)) {
      it(`comes back as it was given: ${name}`, async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme);
        const given2 = draft(given);
        const [answered] = factsOf(await append(ledger.store, acme, given2));
        const read = (await readAll(ledger.store))[1];
        const found = await ledger.store.find(acme, given2.id);
        for (const fact of [answered, read, found])
          expect(said(fact as Recorded)).to.deep.equal(said(given2));
        expect(read?.hash).to.equal(answered?.hash);
        await expectLedgerSound(ledger);
      });
    }
  });

  describe('what cannot be stored as it is', () => {
    const malformed: Partial<Record<keyof Draft, readonly unknown[]>> = {
      id: ['', 'x', '018F2F6E-7C1B-7000-8000-FEDCBA987654', '018f2f6e7c1b70008000fedcba987654'],
      type: ['', 'a\0b', '\ud800'],
      schemaVersion: [0, -1, 1.5, 32_768, Number.NaN],
      occurredAt: [1.5, Number.NaN, 2 ** 60],
      actor: ['', 'a\0b', 'a\udc00', 'a'.repeat(257)],
      payload: ['{"t":"\ud800"}'],
      stream: ['', 'tests-\0'],
      opId: ['', '\0', '\ud800'],
      opParentId: ['', '\0', '\ud800'],
      region: ['', '\0', '\ud800'],
      traceparent: ['', '\0', '\ud800'],
    };
    it('is refused by name of the field, and nothing is stored', async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      for (const [field, values] of Object.entries(malformed)) {
        for (const value of values) {
          const error = await refused(append(ledger.store, acme, draft(), draft({ [field]: value })));
          expect(error, `${field} ${JSON.stringify(value)}`)
            .to.be.an('error')
            .with.property('message')
            .that.includes(field);
        }
      }
      expect((await append(ledger.store, acme, draft())).kind).to.equal('appended');
      expect((await expectLedgerSound(ledger)).facts).to.equal(2);
    });
  });
};
