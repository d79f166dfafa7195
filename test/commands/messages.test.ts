import { messages } from '#commands/messages.ts';
import type { LetterDiscarded, LetterReplayed } from '#schemas/messages.ts';
import { given } from '#test/support/given.ts';

describe('commands/messages', () => {
  const place = { letter: 4, topic: 'provenance.receipts.v1', partition: 2, offset: 17 };
  const replayed: LetterReplayed = { type: 'messages.LetterReplayed', data: place };
  const discarded: LetterDiscarded = {
    type: 'messages.LetterDiscarded',
    data: { ...place, reason: 'sent by a test' },
  };

  it('records what was done, whatever is on record', () => {
    for (const event of [replayed, discarded]) {
      given(messages).when({ type: 'RecordAboutMessages', event }).then(event);
      given(messages, event).when({ type: 'RecordAboutMessages', event }).then(event);
    }
  });

  it('refuses a record with values that do not fit, such as a reason of nothing', () => {
    const event = { ...discarded, data: { ...discarded.data, reason: '' } };
    given(messages).when({ type: 'RecordAboutMessages', event }).thenRefused('MalformedRecord');
  });
});
