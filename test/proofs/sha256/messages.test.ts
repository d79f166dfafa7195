import { hash, randomBytes } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { type Messages, sha256Messages } from '#proofs/sha256/messages.ts';

const digests = (list: Messages, messages: readonly Uint8Array[]): readonly string[] => {
  list.clear();
  for (const message of messages) {
    const at = list.begin(message.length);
    list.bytes().set(message, at);
    list.end(message.length);
  }
  list.digest();
  const bytes = Buffer.from(list.bytes());
  return messages.map((_, index) => bytes.toString('hex', list.digestAt(index), list.digestAt(index) + 32));
};

const oneByOne = (messages: readonly Uint8Array[]): readonly string[] =>
  messages.map((message) => hash('sha256', message));

describe('proofs/sha256/messages', () => {
  const list = sha256Messages();

  it('gives each message the digest that node:crypto gives it, however many and however long, one list after another', () => {
    const lengths = fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 70 });
    fc.assert(
      fc.property(lengths, (wanted) => {
        const messages = wanted.map((length) => randomBytes(length));
        expect(digests(list, messages)).to.deep.equal(oneByOne(messages));
      }),
      { numRuns: 60 },
    );
  });

  it('takes one that is longer than all its memory, and thousands', () => {
    const messages = [
      randomBytes(3),
      randomBytes(1_000_000),
      ...Array.from({ length: 3_000 }, () => randomBytes(40)),
    ];
    expect(digests(list, messages)).to.deep.equal(oneByOne(messages));
  });

  it('hashes what was written, not what room was asked for', () => {
    list.clear();
    for (const text of ['abc', '']) {
      const at = list.begin(500);
      Buffer.from(list.bytes().buffer).write(`${text}rubbish`, at);
      list.end(text.length);
    }
    list.digest();
    const bytes = Buffer.from(list.bytes());
    const digest = (index: number) => bytes.toString('hex', list.digestAt(index), list.digestAt(index) + 32);
    expect([digest(0), digest(1)]).to.deep.equal([hash('sha256', 'abc'), hash('sha256', '')]);
  });
});
