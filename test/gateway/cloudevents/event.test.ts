import { expect } from 'chai';
import { readEvent } from '#gateway/cloudevents/event.ts';
import { attributesFromHeaders, hasEventHeaders } from '#gateway/cloudevents/headers.ts';

const event = (over: Record<string, unknown> = {}): Record<string, unknown> => ({
  specversion: '1.0',
  id: '1807',
  source: '/billing/exports',
  type: 'db.export',
  data: { decision: 'allow' },
  ...over,
});

const faultsIn = (given: Record<string, unknown>): readonly string[] => {
  const read = readEvent(given);
  return read.kind === 'faulty' ? read.faults.map(({ pointer }) => pointer) : [];
};

describe('gateway/cloudevents: an event', () => {
  it('is its attributes and its data; a member that is null is unset, extensions are passed over', () => {
    const read = readEvent(event({ subject: null, time: null, partitionkey: 'p', hops: 3, last: true }));
    expect(read).to.deep.include({ kind: 'event' });
    expect(read).to.have.nested.property('event.data.decision', 'allow');
    expect(read).to.not.have.nested.property('event.subject');
  });

  for (const [what, over, pointer] of [
    ['no specversion', { specversion: undefined }, '/specversion'],
    ['another specversion', { specversion: '0.3' }, '/specversion'],
    ['a specversion that is a number', { specversion: 1 }, '/specversion'],
    ['no id', { id: undefined }, '/id'],
    ['an id that is null', { id: null }, '/id'],
    ['an empty id', { id: '' }, '/id'],
    ['an id with a line feed', { id: 'a\nb' }, '/id'],
    ['no source', { source: undefined }, '/source'],
    ['a source with a space', { source: '/a b' }, '/source'],
    ['a source beyond ASCII', { source: '/ä' }, '/source'],
    ['no type', { type: undefined }, '/type'],
    ['an empty subject', { subject: '' }, '/subject'],
    ['a time without its offset', { time: '2026-11-21T09:00:00' }, '/time'],
    ['a day that there is not', { time: '2026-02-30T09:00:00Z' }, '/time'],
    ['data of another media type', { datacontenttype: 'application/xml' }, '/datacontenttype'],
    ['data that is a text', { data: '{"decision":"allow"}' }, '/data'],
    ['data that is null', { data: null }, '/data'],
    ['no data', { data: undefined }, '/data'],
    ['data twice', { data_base64: 'e30=' }, '/data_base64'],
    ['no base64', { data: undefined, data_base64: 'e30' }, '/data_base64'],
    ['an attribute that is an object', { extra: {} }, '/extra'],
    ['an attribute that is a list', { extra: [] }, '/extra'],
    ['an attribute in another case', { dataContentType: 'application/json' }, '/dataContentType'],
    ['a name with a slash', { 'a/b': '1' }, '/a~1b'],
  ] as const) {
    it(`${what} is named as a fault`, () => {
      const given = event(over);
      for (const [name, value] of Object.entries(given)) if (value === undefined) delete given[name];
      expect(faultsIn(given)).to.include(pointer);
    });
  }

  it('takes the media types that JSON has', () => {
    for (const type of ['application/json', 'application/vnd.acme.receipt+json; charset=utf-8', 'text/JSON'])
      expect(faultsIn(event({ datacontenttype: type })), type).to.deep.equal([]);
  });

  it('may have its data in base64, which is read as strictly', () => {
    const encoded = (text: string) => {
      const { data: _, ...rest } = event();
      return readEvent({ ...rest, data_base64: Buffer.from(text).toString('base64') });
    };
    expect(encoded('{"decision":"deny"}')).to.have.nested.property('event.data.decision', 'deny');
    expect(encoded('{"a":1,"a":2}')).to.have.nested.property('fault.code', 'duplicate-key');
    expect(encoded('[')).to.have.nested.property('fault.code', 'not-json');
  });

  it('with many faults is answered with a bounded number of them', () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`X${n}`, {}]));
    expect(faultsIn(event(many)).length).to.be.within(1, 60);
  });
});

describe('gateway/cloudevents: attributes in headers', () => {
  it('are percent-decoded once, after quotes came off', () => {
    for (const [raw, decoded] of [
      ['plain', 'plain'],
      ['Euro%20%E2%82%AC%20%F0%9F%98%80', 'Euro € 😀'],
      ['%2525', '%25'],
      ['"quoted \\"text\\" %41"', 'quoted "text" A'],
      ['%41%e2%82%ac', 'A€'],
      ['"half', '"half'],
    ] as const)
      expect(attributesFromHeaders({ 'ce-subject': raw }), raw).to.deep.equal({
        attributes: { subject: decoded },
      });
  });

  it('that cannot be decoded, or stand where none may, are named', () => {
    for (const [name, raw] of [
      ['ce-subject', '%C0%A0'],
      ['ce-subject', '100%'],
      ['ce-subject', '%ZZ'],
      ['ce-subject', 'caf\u00e9'],
      ['ce-datacontenttype', 'application/json'],
      ['ce-data', '{}'],
      ['ce-data_base64', 'e30='],
    ] as const)
      expect(attributesFromHeaders({ [name]: raw }), `${name}: ${raw}`).to.have.nested.property(
        'faults[0].pointer',
        `/${name.slice(3)}`,
      );
  });

  it('of other kinds are none', () => {
    expect(attributesFromHeaders({ accept: 'x', 'x-ce-id': '1' })).to.deep.equal({ attributes: {} });
    expect(hasEventHeaders({ accept: 'x', 'ce-tracestate': 'y' })).to.equal(false);
    for (const name of ['ce-id', 'ce-source', 'ce-type', 'ce-specversion'])
      expect(hasEventHeaders({ [name]: 'x' }), name).to.equal(true);
  });
});
