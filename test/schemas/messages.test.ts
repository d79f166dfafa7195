import { expect } from 'chai';
import fc from 'fast-check';
import { eventSchema, faultsOf } from '#schemas/index.ts';
import { messages } from '#schemas/messages.ts';
import { messageEvent } from '#test/support/arbitraries.ts';

describe('schemas/messages', () => {
  it('every event is sound as the arbitraries make it, and has each of its members', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(messageEvent, ({ type, data }) => {
        seen.add(type);
        expect(faultsOf(type, 1, data)).to.deep.equal([]);
        expect(faultsOf(type, 1, { ...data, more: 1 })).to.have.nested.property('[0].pointer', '/more');
        expect(faultsOf(type, 1, {})).to.not.have.length(0);
      }),
      { numRuns: 200 },
    );
    expect([...seen]).to.have.members(Object.keys(messages.events));
  });

  it('counts are whole numbers from 0', () => {
    const shown = { letter: 1, topic: 't', partition: 0, offset: 9 };
    expect(faultsOf('messages.LetterViewed', 1, shown)).to.deep.equal([]);
    for (const letter of [-1, 0.5, '1', 2 ** 53])
      expect(faultsOf('messages.LetterViewed', 1, { ...shown, letter })).to.have.nested.property(
        '[0].pointer',
        '/letter',
      );
    expect(eventSchema('messages.LetterViewed')?.version).to.equal(1);
  });
});
