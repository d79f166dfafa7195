import { hash } from 'node:crypto';
import { expect } from 'chai';
import type { CloudEvent } from '#gateway/cloudevents/event.ts';
import { eventReceiptId, receiptOf } from '#gateway/cloudevents/receipt.ts';

const event = (over: Partial<CloudEvent> = {}): CloudEvent => ({
  id: '1807',
  source: '/billing/exports',
  type: 'db.export',
  data: { decision: 'allow' },
  ...over,
});

const carried = (over: Partial<CloudEvent> = {}) => {
  const read = receiptOf(event(over));
  if (read.kind !== 'receipt') throw new Error(JSON.stringify(read));
  return read;
};

describe('gateway/cloudevents: the receipt that an event carries', () => {
  it('takes from the attributes what the data leaves out', () => {
    const { receipt } = carried({ subject: 'alice', time: '2026-11-21T09:00:00Z' });
    expect(receipt).to.deep.equal({
      id: eventReceiptId(event()),
      action: 'db.export',
      actor: 'alice',
      decision: 'allow',
      created_at: '2026-11-21T09:00:00Z',
      ext: {
        cloudevents: {
          id: '1807',
          source: '/billing/exports',
          type: 'db.export',
          subject: 'alice',
          time: '2026-11-21T09:00:00Z',
        },
      },
    });
  });

  it('keeps what the data says, and still says which event it was', () => {
    const data = { id: 'r-1', action: 'a', actor: 'b', decision: 'deny', created_at: 'c', ext: { own: 1 } };
    const { receipt } = carried({ data, subject: 'alice', time: '2026-11-21T09:00:00Z', dataschema: '/s' });
    expect(receipt).to.deep.include({ id: 'r-1', action: 'a', actor: 'b', created_at: 'c' });
    expect(receipt['ext']).to.have.property('own', 1);
    expect(receipt['ext']).to.have.nested.property('cloudevents.dataschema', '/s');
  });

  it('has its time where its version has it', () => {
    const data = { version: '0.2', decision: 'allow' };
    const { receipt } = carried({ data, time: '2026-11-21T09:00:00Z' });
    expect(receipt).to.include({ timestamp: '2026-11-21T09:00:00Z' }).and.not.have.property('created_at');
  });

  it('has an id of source and id together, as the document says how', () => {
    expect(eventReceiptId(event())).to.equal(`ce:${hash('sha256', '/billing/exports\n1807')}`);
    const ids = [
      { source: '/a', id: 'b' },
      { source: '/ab', id: '' },
      { source: '/a', id: 'c' },
    ].map(eventReceiptId);
    expect(new Set(ids).size).to.equal(3);
  });

  it('traces a place in the receipt back to the event', () => {
    const { origin } = carried({ subject: 'alice' });
    expect(origin('/actor')).to.equal('/subject');
    expect(origin('/action')).to.equal('/type');
    expect(origin('/id')).to.equal('/id');
    expect(origin('/decision')).to.equal('/data/decision');
    expect(carried().origin('/actor')).to.equal('/data/actor');
  });

  it('cannot say itself which event it was', () => {
    expect(receiptOf(event({ data: { ext: { cloudevents: {} } } }))).to.have.nested.property(
      'faults[0].pointer',
      '/data/ext/cloudevents',
    );
    expect(receiptOf(event({ data: [] }))).to.have.property('kind', 'faulty');
  });

  it('is left with a wrong ext, which is refused with what else is wrong', () => {
    expect(carried({ data: { ext: 'text' } }).receipt).to.have.property('ext', 'text');
  });
});
