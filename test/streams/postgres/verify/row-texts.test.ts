// What is found without parsing is what parsing finds, in whichever payload of a chunk it stands.
import { expect } from 'chai';
import fc from 'fast-check';
import { canonicalize, type JsonValue } from '#proofs/canonical.ts';
import { rowTexts } from '#streams/postgres/verify/row-texts.ts';

const MEMBERS = ['actor', 'op_id', 'region'];
const NAMES = [...MEMBERS, 'a', 'zz', 'x","actor'];

const texts = fc.oneof(
  fc.constantFrom('ada', '', '","actor":"eve', '"actor":"eve"', '{', '}', '\\', 'é', '𝄞', '\u0001'),
  // What no payload holds: the canonical form refuses it.
  fc.string({ unit: 'binary', maxLength: 12 }).filter((text) => text.isWellFormed() && !text.includes('\0')),
);
const nested = fc.dictionary(fc.constantFrom(...NAMES), texts, { maxKeys: 4 });
const bodies = fc.dictionary(
  fc.constantFrom(...NAMES),
  fc.oneof(texts, fc.integer(), fc.constant(null), fc.array(nested, { maxLength: 2 }), nested),
  { maxKeys: 6 },
);

/** Payloads with other bytes between them, as other columns are. */
const chunkOf = (payloads: readonly Buffer[], between: Buffer) => {
  const parts: Buffer[] = [];
  const places = payloads.map((payload) => {
    parts.push(between);
    const start = Buffer.concat(parts).length;
    parts.push(payload);
    return { start, end: start + payload.length };
  });
  return { bytes: Buffer.concat([...parts, between]), places };
};

describe('texts in the payloads of a chunk', () => {
  it('are those that JSON.parse finds at the top level, or not found for sure', () => {
    let [told, unsure] = [0, 0];
    const betweens = fc.oneof(
      fc.constantFrom('{', '}', '","actor":"mallory",', '{"actor":"', '').map((text) => Buffer.from(text)),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(fc.array(bodies, { minLength: 1, maxLength: 8 }), betweens, (all, between) => {
        const payloads = all.map((body) => Buffer.from(canonicalize(body as JsonValue)));
        const { bytes, places } = chunkOf(payloads, between);
        const found = rowTexts(MEMBERS);
        found.take(bytes);
        for (const [index, { start, end }] of places.entries()) {
          found.payload(start, end);
          for (const [member, name] of MEMBERS.entries()) {
            const value = all[index]?.[name];
            const wanted = typeof value === 'string' ? value : '';
            if (found.find(member)) {
              told += 1;
              expect(bytes.toString('utf8', found.found.start, found.found.end), name).to.equal(wanted);
            } else unsure += 1;
          }
        }
      }),
      { numRuns: 2_000 },
    );
    expect(told).to.be.greaterThan(unsure);
  });

  it('are told where nothing is doubtful: a text, none, one beside nested members', () => {
    const payloads = [
      { action: 'x', actor: 'ada', inputs: { actor: 'eve' }, op_id: '7', region: 'eu' },
      { action: 'x' },
      { actor: 'bob', inputs: { n: 1 } },
    ].map((body) => Buffer.from(canonicalize(body)));
    const { bytes, places } = chunkOf(payloads, Buffer.from([0, 9]));
    const found = rowTexts(MEMBERS);
    found.take(bytes);
    const told = places.map(({ start, end }) => {
      found.payload(start, end);
      return MEMBERS.map(
        (_, member) => found.find(member) && bytes.toString('utf8', found.found.start, found.found.end),
      );
    });
    expect(told).to.deep.equal([
      ['ada', '7', 'eu'],
      ['', '', ''],
      ['bob', '', ''],
    ]);
  });

  it('are not told of an end that lies in the next payload', () => {
    const { bytes, places } = chunkOf(
      [Buffer.from('{"actor":"ada'), Buffer.from('{"actor":"bob"}')],
      Buffer.of(),
    );
    const found = rowTexts(MEMBERS);
    found.take(bytes);
    found.payload(places[0]?.start ?? 0, places[0]?.end ?? 0);
    expect(found.find(0)).to.equal(false);
  });
});
