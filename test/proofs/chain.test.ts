// The hashed form of a fact, held against a second implementation, frozen vectors and frozen forgeries.
// golden/chain.json was written by a third implementation in another language; nothing here may ever change it.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  CHAIN_START,
  type ChainFault,
  type ChainPosition,
  factHash,
  GENESIS_HASH,
  linkFault,
  payloadHash,
  seal,
} from '#proofs/chain.ts';
import type { Recorded } from '#schemas/event.ts';
import type { FactId, Instant, Seq, Sha256 } from '#schemas/ids.ts';

interface Vector {
  readonly name: string;
  readonly before: ChainPosition;
  readonly preimage?: string;
  readonly fact: Recorded;
  readonly hash: Sha256;
}

interface Forgery {
  readonly name: string;
  readonly of: string;
  /** A null means: left out. */
  readonly change: Readonly<Record<string, unknown>>;
  readonly fault: ChainFault;
  /** What the changed fields hash to. */
  readonly hash: Sha256;
}

interface Golden {
  readonly vectors: readonly Vector[];
  readonly forgeries: readonly Forgery[];
  readonly same: readonly Pick<Forgery, 'name' | 'of' | 'change'>[];
}

// Long texts are written as {"repeat": [before, character, times, after]}.
const expand = (_key: string, value: unknown): unknown => {
  if (typeof value !== 'object' || value === null || !('repeat' in value)) return value;
  const [before, character, times, after] = value.repeat as [string, string, number, string];
  return before + character.repeat(times) + after;
};

const golden = JSON.parse(
  readFileSync(new URL('golden/chain.json', import.meta.url), 'utf8'),
  expand,
) as Golden;

const vector = (name: string): Vector => {
  const found = golden.vectors.find((candidate) => candidate.name === name);
  if (!found) throw new Error(`golden/chain.json has no vector "${name}"`);
  return found;
};

const changed = (fact: Recorded, change: Readonly<Record<string, unknown>>): Recorded => {
  const entries = Object.entries({ ...fact, ...change }).filter(([, value]) => value !== null);
  return Object.fromEntries(entries) as unknown as Recorded;
};

// The second implementation: the header comment of proofs/chain.ts, word for word, with no thought of speed.
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const i64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
};
const text = (value: string | undefined): Buffer => {
  if (value === undefined) return u32(0xffff_ffff);
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([u32(bytes.length), bytes]);
};

const preimage = (fact: Recorded): Buffer =>
  Buffer.concat([
    Buffer.from('prov-ledger/fact/v1\n', 'ascii'),
    text(fact.tenant),
    i64(fact.seq),
    Buffer.from(fact.prevHash, 'hex'),
    Buffer.from(fact.id.replaceAll('-', ''), 'hex'),
    text(fact.type),
    u32(fact.schemaVersion),
    text(fact.stream),
    i64(fact.occurredAt),
    i64(fact.recordedAt),
    text(fact.actor),
    text(fact.opId),
    text(fact.opParentId),
    text(fact.region),
    createHash('sha256').update(Buffer.from(fact.payload, 'utf8')).digest(),
  ]);

const independentHash = (fact: Recorded): string => createHash('sha256').update(preimage(fact)).digest('hex');

/** A position before `fact` that its forger also controls: only the fact's own hash can give the forgery away. */
const accomplice = (fact: Recorded): ChainPosition => ({
  seq: (fact.seq - 1) as Seq,
  hash: fact.prevHash,
  recordedAt: fact.recordedAt,
});

describe('the hash chain', () => {
  describe('golden vectors', () => {
    for (const { name, before, preimage: bytes, fact, hash } of golden.vectors) {
      it(name, () => {
        if (bytes !== undefined) expect(preimage(fact).toString('hex')).to.equal(bytes);
        expect(independentHash(fact), 'second implementation').to.equal(hash);
        expect(factHash(fact, fact), 'factHash').to.equal(hash);
        expect(factHash(fact, fact, payloadHash(fact.payload)), 'with the payload digest given').to.equal(
          hash,
        );
        expect(linkFault({ ...fact, hash }, fact.tenant, before)).to.equal(undefined);
      });
    }

    it('are in full', () => {
      expect(golden.vectors).to.have.length(12);
      expect(golden.forgeries).to.have.length(55);
    });

    it('start a chain at seq 0 with the all-zero hash', () => {
      expect(CHAIN_START.seq).to.equal(0);
      expect(GENESIS_HASH).to.equal('0'.repeat(64));
      expect(CHAIN_START.hash).to.equal(GENESIS_HASH);
    });
  });

  describe('forged vectors', () => {
    for (const { name, of, change, fault, hash } of golden.forgeries) {
      it(`${name} is refused as ${fault}`, () => {
        const { fact, before, hash: honest } = vector(of);
        const forged = changed(fact, change);
        expect(independentHash(forged), 'second implementation').to.equal(hash);
        expect(factHash(forged, forged), 'factHash').to.equal(hash).and.not.equal(honest);
        expect(linkFault({ ...forged, hash: honest }, fact.tenant, before)).to.equal(fault);
        expect(linkFault({ ...forged, hash: honest }, forged.tenant, accomplice(forged))).to.equal(
          'hash-mismatch',
        );
      });
    }

    it('one digit of the hash itself is refused as hash-mismatch', () => {
      for (const { fact, before, hash } of golden.vectors) {
        const last = hash.endsWith('0') ? '1' : '0';
        const forged = { ...fact, hash: (hash.slice(0, -1) + last) as Sha256 };
        expect(linkFault(forged, fact.tenant, before)).to.equal('hash-mismatch');
      }
    });

    for (const { name, of, change } of golden.same) {
      it(name, () => {
        const { fact, before, hash } = vector(of);
        expect(linkFault({ ...changed(fact, change), hash }, fact.tenant, before)).to.equal(undefined);
      });
    }

    it('a fact taken out, put in twice, or two facts swapped break the chain', () => {
      const chain = [
        'the first fact of a tenant',
        'every field given',
        'every optional text absent, equal recordedAt',
      ];
      const [first, second, third] = chain.map((name) => ({ ...vector(name).fact, hash: vector(name).hash }));
      if (!first || !second || !third) throw new Error('three vectors expected');
      expect(linkFault(third, third.tenant, first)).to.equal('seq-gap');
      expect(linkFault(second, second.tenant, second)).to.equal('seq-gap');
      const early = { ...third, seq: 2 as Seq, prevHash: first.hash };
      expect(linkFault(early, early.tenant, first)).to.equal('hash-mismatch');
    });
  });

  describe('properties', () => {
    const anyText = fc.string({ unit: 'binary', maxLength: 40 });
    const maybe = fc.option(anyText, { nil: undefined });
    const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`));
    const time = fc.integer({ min: -8_640_000_000_000_000, max: 8_640_000_000_000_000 });
    const anyFact: fc.Arbitrary<Recorded> = fc
      .record({
        tenant: fc.stringMatching(/^[a-z][a-z0-9-]{1,20}$/),
        seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        prevHash: hex(64),
        id: fc.uuid(),
        type: anyText,
        schemaVersion: fc.integer({ min: 1, max: 32_767 }),
        stream: maybe,
        occurredAt: time,
        recordedAt: time,
        actor: anyText,
        opId: maybe,
        opParentId: maybe,
        region: maybe,
        payload: fc.json(),
      })
      .map((fields) => ({ ...fields, hash: '' }) as unknown as Recorded);

    it('both implementations agree on any fact', () => {
      fc.assert(fc.property(anyFact, (fact) => factHash(fact, fact) === independentHash(fact)));
    });

    // A value unlike the one before: a text with one UTF-16 unit changed, added or taken; a number moved by a power of two.
    const otherText = (value: string, at: number): string => {
      const index = at % (value.length + 1);
      if (index === value.length) return `${value}x`;
      const rest = value.slice(index + 1);
      return value.slice(0, index) + (at % 3 === 0 ? '' : value[index] === 'q' ? 'r' : 'q') + rest;
    };
    const otherHex = (value: string, at: number): string => {
      const index = at % value.length;
      if (value[index] === '-') return otherHex(value, at + 1);
      return value.slice(0, index) + (value[index] === '0' ? '1' : '0') + value.slice(index + 1);
    };
    const otherNumber = (value: number, at: number): number => {
      const step = 2 ** (at % 53);
      return value + step <= Number.MAX_SAFE_INTEGER ? value + step : value - step;
    };
    const otherVersion = (value: number, at: number): number => (value + 1 + (at % 65_535)) % 65_536;
    const tamper: Readonly<Record<string, (value: never, at: number) => unknown>> = {
      tenant: otherText,
      seq: otherNumber,
      prevHash: otherHex,
      id: otherHex,
      type: otherText,
      schemaVersion: otherVersion,
      stream: otherText,
      occurredAt: otherNumber,
      recordedAt: otherNumber,
      actor: otherText,
      opId: otherText,
      opParentId: otherText,
      region: otherText,
      payload: otherText,
    };

    it('any change of any field is noticed', () => {
      fc.assert(
        fc.property(anyFact, fc.constantFrom(...Object.keys(tamper)), fc.nat(), (loose, field, at) => {
          const fact = seal(loose, loose);
          const value = fact[field as keyof Recorded];
          const other = value === undefined ? '' : tamper[field]?.(value as never, at);
          const forged = { ...fact, [field]: other } as Recorded;
          expect(linkFault(fact, fact.tenant, accomplice(fact)), 'the honest fact').to.equal(undefined);
          expect(linkFault(forged, forged.tenant, accomplice(forged)), field).to.equal('hash-mismatch');
        }),
        { numRuns: 2_000 },
      );
    });

    it('no byte of one text can pass for a byte of the next', () => {
      const fields = ['actor', 'opId', 'opParentId', 'region'] as const;
      const letters = fc.string({ unit: fc.constantFrom('a', 'b', '\0', 'é'), minLength: 4, maxLength: 30 });
      const cuts = fc.array(fc.nat(30), { minLength: 3, maxLength: 3 });
      const split = (whole: string, at: readonly number[]): Partial<Recorded> => {
        const ends = [...at].sort((a, b) => a - b);
        return Object.fromEntries(
          fields.map((field, index) => [field, whole.slice(ends[index - 1] ?? 0, ends[index])]),
        );
      };
      fc.assert(
        fc.property(anyFact, letters, cuts, cuts, (fact, whole, one, two) => {
          const [a, b] = [split(whole, one), split(whole, two)];
          fc.pre(fields.some((field) => a[field] !== b[field]));
          return factHash({ ...fact, ...a }, fact) !== factHash({ ...fact, ...b }, fact);
        }),
      );
    });

    it('a value the hash does not tell apart from an honest one is refused: an id in capitals, half a character', () => {
      const fact = seal(vector('every field given').fact, vector('every field given').fact);
      const { id, actor } = fact;
      const spellings: readonly Partial<Recorded>[] = [
        { id: id.toUpperCase() as FactId },
        { id: id.replaceAll('-', '_') as FactId },
        { schemaVersion: fact.schemaVersion + 2 ** 32 },
        { occurredAt: (fact.occurredAt + 0.5) as Instant },
      ];
      for (const spelling of spellings) {
        const forged = { ...fact, ...spelling };
        expect(linkFault(forged, fact.tenant, accomplice(fact)), JSON.stringify(spelling)).to.equal(
          'hash-mismatch',
        );
      }
      const replaced = seal({ ...fact, actor: `${actor}\ufffd` }, fact);
      expect(linkFault({ ...replaced, actor: `${actor}\ud800` }, fact.tenant, accomplice(fact))).to.equal(
        'hash-mismatch',
      );
    });
  });
});
