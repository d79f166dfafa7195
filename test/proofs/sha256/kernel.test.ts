import { hash, randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { ARENA, growTo, type Kernel, sha256Kernel } from '#proofs/sha256/kernel.ts';

const LANES = [0, 1, 2, 3] as const;

/** FIPS 180-4 section 5.1.1. */
const padded = (message: Uint8Array): Buffer => {
  const blocks = Math.ceil((message.length + 9) / 64);
  const whole = Buffer.alloc(blocks * 64);
  whole.set(message);
  whole[message.length] = 0x80;
  whole.writeUInt32BE(message.length * 8, whole.length - 4);
  return whole;
};

const digests = ({ memory, digest }: Kernel, messages: readonly Uint8Array[]): readonly string[] => {
  const texts = messages.map(padded);
  const [{ length } = Buffer.alloc(0)] = texts;
  growTo(memory, ARENA + 4 * length + 128 + 3);
  const bytes = Buffer.from(memory.buffer);
  // Places of every alignment: the kernel asks for none.
  const places = texts.map((text, lane) => {
    const at = ARENA + lane * length + Math.min(lane, 3);
    bytes.set(text, at);
    return at;
  }) as unknown as [number, number, number, number];
  const into = ARENA + 4 * length + 3;
  digest(...places, length / 64, into);
  return LANES.map((lane) => bytes.toString('hex', into + lane * 32, into + (lane + 1) * 32));
};

describe('proofs/sha256/kernel', () => {
  const kernel = sha256Kernel();

  it('gives the digests of FIPS 180-4, one of 896 bits in the second block among them', () => {
    const text = 'abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq';
    expect(
      digests(
        kernel,
        LANES.map(() => Buffer.from('abc')),
      ),
    ).to.deep.equal(LANES.map(() => 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'));
    expect(
      digests(
        kernel,
        LANES.map(() => Buffer.from(text)),
      ),
    ).to.deep.equal(LANES.map(() => '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1'));
  });

  it('agrees with node:crypto on every length up to four blocks, with another message in each lane', () => {
    for (let length = 0; length < 4 * 64 - 9; length += 1) {
      const messages = LANES.map(() => randomBytes(length));
      expect(digests(kernel, messages), `${length} bytes`).to.deep.equal(
        messages.map((message) => hash('sha256', message)),
      );
    }
  });

  it('agrees on a long message, for which its memory has to grow', () => {
    const messages = LANES.map(() => randomBytes(100_000));
    expect(digests(kernel, messages)).to.deep.equal(messages.map((message) => hash('sha256', message)));
  });

  it('lets no lane see another: one bit changed in one changes its digest and no other', () => {
    const messages = LANES.map(() => randomBytes(150));
    const before = digests(kernel, messages);
    for (const lane of LANES) {
      const changed = messages.map((message, index) => {
        const copy = Buffer.from(message);
        if (index === lane) copy[149] = (copy[149] as number) ^ 1;
        return copy;
      });
      const after = digests(kernel, changed);
      expect(LANES.filter((each) => before[each] !== after[each])).to.deep.equal([lane]);
    }
  });
});
