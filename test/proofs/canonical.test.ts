import { existsSync, readdirSync, readFileSync } from 'node:fs';
import npmCanonicalize from 'canonicalize';
import { expect } from 'chai';
import * as fc from 'fast-check';
import {
  CANONICAL_LIMITS,
  CanonicalError,
  canonicalize,
  isCanonical,
  type JsonValue,
  parseStrict,
  parseStrictBytes,
  writeCanonical,
} from '#proofs/canonical.ts';

const VECTORS = new URL('../../../shared/vectors/jcs/', import.meta.url);

/** The canonical text, or the fault code: what most cases here are about. */
const verdict = (text: string, limits = {}): string => {
  const strict = parseStrict(text, limits);
  return strict.ok ? strict.canonical : strict.error.code;
};

const codeThrown = (value: unknown): string => {
  try {
    return `wrote ${canonicalize(value as JsonValue)}`;
  } catch (error) {
    if (error instanceof CanonicalError) return error.code;
    throw error;
  }
};

/** Any JSON within the law: safe numbers, well-formed text without NUL, no forbidden name, integer-like keys too. */
const text = fc
  .string({ unit: 'binary' })
  .map((raw) => raw.replaceAll('\0', '').replaceAll('__proto__', 'proto'));
const number = fc.double({ noNaN: true, min: -Number.MAX_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });
const key = fc.oneof(text, fc.nat(200).map(String), fc.constantFrom('toJSON', 'constructor', 'a', 'b', ''));
const { lawful } = fc.letrec<{ lawful: JsonValue }>((tie) => ({
  lawful: fc.oneof(
    { maxDepth: 4 },
    fc.oneof(text, number, fc.integer(), fc.boolean(), fc.constant(null)),
    fc.array(tie('lawful'), { maxLength: 5 }),
    fc.dictionary(key, tie('lawful'), { maxKeys: 6, noNullPrototype: true }),
  ) as fc.Arbitrary<JsonValue>,
}));

describe('proofs/canonical', () => {
  describe('the vectors of RFC 8785', () => {
    const names = existsSync(VECTORS) ? readdirSync(new URL('input/', VECTORS)) : [];
    it('are all there', function () {
      if (names.length === 0) this.skip();
      expect(names).to.have.length.at.least(6);
    });
    for (const name of names) {
      it(name, () => {
        const input = readFileSync(new URL(`input/${name}`, VECTORS), 'utf8');
        const output = readFileSync(new URL(`output/${name}`, VECTORS), 'utf8');
        const hex = readFileSync(new URL(`outhex/${name.replace('.json', '.txt')}`, VECTORS), 'utf8');
        expect(writeCanonical(JSON.parse(input))).to.equal(output);
        expect(Buffer.from(output).toString('hex')).to.equal(hex.replaceAll(/\s/g, ''));
        // values.json holds 1E30, which the front door refuses by its own rule.
        expect(verdict(input)).to.equal(name === 'values.json' ? 'unsafe-integer' : output);
      });
    }

    it('numbers of appendix B', () => {
      const cases: [string, string][] = [
        ['0000000000000000', '0'],
        ['8000000000000000', '0'],
        ['0000000000000001', '5e-324'],
        ['8000000000000001', '-5e-324'],
        ['7fefffffffffffff', '1.7976931348623157e+308'],
        ['4340000000000000', '9007199254740992'],
        ['44b52d02c7e14af5', '9.999999999999997e+22'],
        ['444b1ae4d6e2ef50', '1e+21'],
        ['3eb0c6f7a0b5ed8d', '0.000001'],
        ['41b3de4355555554', '333333333.33333325'],
        ['becbf647612f3696', '-0.0000033333333333333333'],
        ['43143ff3c1cb0959', '1424953923781206.2'],
      ];
      for (const [bits, written] of cases) {
        expect(writeCanonical(Buffer.from(bits, 'hex').readDoubleBE()), bits).to.equal(written);
      }
    });
  });

  describe('writes one text for one value', () => {
    it('orders names by UTF-16 code units, integer-like ones too', () => {
      expect(verdict('{"b":1,"a":{"10":1,"9":2},"":0}')).to.equal('{"":0,"a":{"10":1,"9":2},"b":1}');
      expect(canonicalize({ 9: 'x', 10: 'y' })).to.equal('{"10":"y","9":"x"}');
      expect(verdict('{"\uFB33":1,"\u{1F602}":2}')).to.equal('{"\u{1F602}":2,"\uFB33":1}');
    });

    it('hands on the value of exactly that text, so -0 arrives as 0', () => {
      for (const spelling of ['-0', '-0.0', '-0e7', '0.0', '0e-400']) {
        const strict = parseStrict(`[${spelling}]`);
        expect(strict.ok && strict.canonical, spelling).to.equal('[0]');
        expect(strict.ok && Object.is((strict.value as number[])[0], 0), spelling).to.equal(true);
      }
      expect(canonicalize(-0)).to.equal('0');
    });

    it('takes numbers and strings in any spelling', () => {
      expect(verdict('[1.0, 1e2, 1E-7, 0.1e1, 9007199254740991]')).to.equal(
        '[1,100,1e-7,1,9007199254740991]',
      );
      expect(verdict('"\\u0041\\/\\u00e9\\u000A\\ud83d\\ude02\\u007f"')).to.equal('"A/é\\n😂\u007f"');
    });

    it('treats a member named toJSON as data', () => {
      expect(verdict('{"z":1,"toJSON":{"b":1,"a":2}}')).to.equal('{"toJSON":{"a":2,"b":1},"z":1}');
      expect(canonicalize({ z: 1, toJSON: 'x' })).to.equal('{"toJSON":"x","z":1}');
    });

    it('agrees with the npm package canonicalize', () => {
      fc.assert(
        fc.property(lawful, (value) => {
          expect(canonicalize(value)).to.equal(npmCanonicalize(value));
          expect(writeCanonical(value)).to.equal(npmCanonicalize(value));
        }),
        { numRuns: 500 },
      );
    });

    it('reads the same by the fast path and by the scanner', () => {
      fc.assert(
        fc.property(lawful, (value) => {
          const canonical = canonicalize(value);
          expect(isCanonical(canonical)).to.equal(true);
          // A leading blank forces the scanner; so do indentation and the author's own order of names.
          for (const spelled of [canonical, ` ${canonical}`, JSON.stringify(value, null, 2)]) {
            expect(parseStrict(spelled)).to.deep.equal({ ok: true, value: JSON.parse(canonical), canonical });
          }
          expect(isCanonical(` ${canonical}`)).to.equal(false);
        }),
        { numRuns: 500 },
      );
    });
  });

  describe('refuses, each with its own code (pitfall 14)', () => {
    const refusals: Record<string, [string, string][]> = {
      'duplicate-key': [
        ['{"a":1,"a":1}', '/a'],
        ['{"a":1,"b":2,"\\u0061":3}', '/a'],
        ['{"x":[{"b":1,"a":1,"b":1}]}', '/x/0/b'],
      ],
      'unsafe-integer': [
        ['{"n":9007199254740993}', '/n'],
        ['[9007199254740992]', '/0'],
        ['-9007199254740992', ''],
        ['[1,1e21]', '/1'],
        ['1000000000000000000000', ''],
        ['9007199254740992.5', ''],
        ['1e308', ''],
      ],
      'number-out-of-range': [
        ['1e400', ''],
        ['{"a/b":[-1e999]}', '/a~1b/0'],
        ['1e-400', ''],
      ],
      'lone-surrogate': [
        ['"\\ud800"', ''],
        ['{"a":"x\\udc00y"}', '/a'],
        ['"\ud800"', ''],
        ['{"\\ude02\\ud83d":1}', ''],
      ],
      'nul-character': [
        ['"\\u0000"', ''],
        ['{"a":"b\\u0000"}', '/a'],
        ['"\0"', ''],
        ['{"a\\u0000":1}', ''],
      ],
      'forbidden-key': [
        ['{"__proto__":{"admin":true}}', '/__proto__'],
        ['{"a":{"\\u005f_proto__":1}}', '/a/__proto__'],
      ],
      'not-json': [
        ['', ''],
        ['{"a":1,}', ''],
        ['[1,]', '/1'],
        ['{"a" 1}', '/a'],
        ["{'a':1}", ''],
        ['01', ''],
        ['1.', ''],
        ['+1', ''],
        ['.5', ''],
        ['NaN', ''],
        ['tru', ''],
        ['[1 2]', ''],
        ['"a', ''],
        ['"\\x41"', ''],
        ['"\t"', ''],
        ['1 2', ''],
        ['\uFEFF{}', ''],
        ['\u00a01', ''],
        ['[', '/0'],
        ['"\\', ''],
      ],
    };
    for (const [code, cases] of Object.entries(refusals)) {
      for (const [source, path] of cases) {
        it(`${code}: ${JSON.stringify(source)}`, () => {
          const strict = parseStrict(source);
          if (strict.ok) throw new Error(`accepted as ${strict.canonical}`);
          expect(strict.error.code).to.equal(code);
          expect(strict.error.path).to.equal(path);
          expect(strict.error.offset).to.be.within(0, source.length);
          expect(strict.error.message).to.have.length.above(15);
        });
      }
    }

    it('too-deep: one level beyond the limit, and a bomb of brackets', () => {
      const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
      expect(verdict(nested(64))).to.equal(nested(64));
      expect(verdict(nested(65))).to.equal('too-deep');
      expect(verdict(` ${nested(65)}`)).to.equal('too-deep');
      expect(verdict('{"a":'.repeat(500_000 / 5), { maxBytes: 1e9 })).to.equal('too-deep');
      expect(verdict(nested(100_000), { maxDepth: 1e9 })).to.equal('too-deep');
      expect(verdict('[[1]]', { maxDepth: 1 })).to.equal('too-deep');
    });

    it('too-large: bytes count, not characters, and the canonical form counts too', () => {
      expect(verdict('"abc"', { maxBytes: 5 })).to.equal('"abc"');
      expect(verdict('"abcd"', { maxBytes: 5 })).to.equal('too-large');
      expect(verdict('"éé"', { maxBytes: 5 })).to.equal('too-large');
      expect(verdict('1e15', { maxBytes: 15 })).to.equal('too-large');
      expect(verdict(`"${'x'.repeat(CANONICAL_LIMITS.maxBytes)}"`)).to.equal('too-large');
      const bytes = parseStrictBytes(Buffer.from('"abcd"'), { maxBytes: 5 });
      expect(!bytes.ok && bytes.error.code).to.equal('too-large');
    });

    it('invalid-utf8, and a byte order mark', () => {
      const codes = [
        [0x22, 0xff, 0x22],
        [0x22, 0xc0, 0x80, 0x22],
        [0x22, 0xed, 0xa0, 0x80, 0x22],
        [0xef, 0xbb, 0xbf, 0x31],
      ];
      expect(
        codes.map((bytes) => {
          const strict = parseStrictBytes(Uint8Array.from(bytes));
          return strict.ok ? strict.canonical : strict.error.code;
        }),
      ).to.deep.equal(['invalid-utf8', 'invalid-utf8', 'invalid-utf8', 'not-json']);
      const view = new Uint8Array(Buffer.from('xx{"é": 1}xx')).subarray(2, -2);
      expect(parseStrictBytes(view)).to.deep.equal({ ok: true, value: { é: 1 }, canonical: '{"é":1}' });
    });

    it('reports where in a long text', () => {
      const strict = parseStrict('{"a":[{"ok":1},{"bad":9007199254740993}]}');
      expect(!strict.ok && strict.error).to.include({ path: '/a/1/bad', offset: 22 });
    });
  });

  it('never throws, accepts no more than JSON.parse, and what it accepts is stable', () => {
    const jsonish = fc
      .array(
        fc.constantFrom(
          '{',
          '}',
          '[',
          ']',
          ':',
          ',',
          '"a"',
          '"',
          '\\',
          '1',
          '-',
          '.5',
          'e9',
          'null',
          ' ',
          '\\u0000',
          '\ud800',
        ),
      )
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(jsonish, fc.string({ unit: 'binary' }), fc.json()), (source) => {
        const strict = parseStrict(source);
        if (!strict.ok) return;
        expect(() => JSON.parse(source)).not.to.throw();
        expect(parseStrict(strict.canonical)).to.deep.equal(strict);
      }),
      { numRuns: 3000 },
    );
  });

  describe('canonicalize refuses what JSON cannot say', () => {
    it('each with its code', () => {
      const cycle: Record<string, unknown> = {};
      cycle['self'] = cycle;
      const cases: [unknown, string][] = [
        [undefined, 'not-a-json-value'],
        [{ a: undefined }, 'not-a-json-value'],
        [[, 1], 'not-a-json-value'],
        [1n, 'not-a-json-value'],
        [() => 1, 'not-a-json-value'],
        [Symbol('x'), 'not-a-json-value'],
        [new Date(0), 'not-a-json-value'],
        [new Map(), 'not-a-json-value'],
        [Buffer.from('x'), 'not-a-json-value'],
        [Object(1), 'not-a-json-value'],
        [{ toJSON: () => 'forged' }, 'not-a-json-value'],
        [Object.create({ toJSON: () => 'forged' }), 'not-a-json-value'],
        [Object.assign([], { toJSON: () => 'forged' }), 'not-a-json-value'],
        [cycle, 'too-deep'],
        [Number.NaN, 'number-out-of-range'],
        [{ a: Number.POSITIVE_INFINITY }, 'number-out-of-range'],
        [2 ** 53, 'unsafe-integer'],
        ['\ud800', 'lone-surrogate'],
        [{ '\udc00': 1 }, 'lone-surrogate'],
        ['a\0', 'nul-character'],
        [JSON.parse('{"__proto__":1}'), 'forbidden-key'],
      ];
      for (const [value, code] of cases) expect(codeThrown(value), code).to.equal(code);
    });

    it('says where, and takes objects without a prototype', () => {
      expect(() => canonicalize({ a: [1, { 'b/c': Number.NaN }] })).to.throw('/a/1/b~1c');
      const bare = Object.assign(Object.create(null), { b: 1, a: 2 });
      expect(canonicalize(bare)).to.equal('{"a":2,"b":1}');
    });
  });
});
