import {
  AccessDeniedError,
  DeadlineExceededError,
  MaxAppendSizeExceededError,
  NotLeaderError,
  StreamDeletedError,
  TimeoutError,
  UnavailableError,
  UnknownError,
} from '@eventstore/db-client';
import { expect } from 'chai';
import type { Seq } from '#schemas/ids.ts';
import { connect, eventStoreError, isConnectionFailure, streamNames } from '#streams/eventstore/connect.ts';
import { runsOf } from '#streams/eventstore/store.ts';

const leader = { 'leader-endpoint-host': 'a', 'leader-endpoint-port': '2113' };
const metadata = { get: () => ['2113'], getMap: () => leader };
const raised = (details: string): never => Object.assign(new Error(details), { details, metadata }) as never;

describe('streams/eventstore: addresses and errors', () => {
  it('each error of the client has its place', () => {
    const cases: readonly (readonly [Error, string])[] = [
      [new UnavailableError(raised('away')), 'unavailable'],
      [new DeadlineExceededError(raised('late')), 'unavailable'],
      [new TimeoutError(raised('late')), 'unavailable'],
      [new NotLeaderError(raised('not me')), 'unavailable'],
      [new Error('Failed to discover after 10 attempts.'), 'unavailable'],
      [new AccessDeniedError(raised('no')), 'forbidden'],
      [StreamDeletedError.fromStreamName('s'), 'corrupt'],
      [MaxAppendSizeExceededError.fromMaxAppendSize(1_048_576), 'unexpected'],
      [new UnknownError(raised('what')), 'unexpected'],
      [new RangeError('ours'), 'unexpected'],
    ];
    for (const [error, code] of cases) {
      expect(eventStoreError(error), error.message).to.have.property('code', code);
      expect(isConnectionFailure(error), error.message).to.equal(code === 'unavailable');
    }
    expect(eventStoreError(cases[7]?.[0]).message).to.include('MaxAppendSize');
  });

  it('an address without a user is refused unless TLS is off; a malformed one without repeating its password', async () => {
    expect(() => connect({ url: 'esdb://localhost:2113' })).to.throw(TypeError, 'has no user');
    expect(() => connect({ url: 'postgres://u:secret@localhost' })).to.throw(TypeError);
    expect(() => connect({ url: 'esdb://u:secret@local host:x?tls=what' }))
      .to.throw(TypeError, 'malformed')
      .with.property('message')
      .that.does.not.include('secret');
    await using secure = connect({ url: 'esdb://ops:p%40ss@localhost:2113?tlsVerifyCert=false' });
    expect(secure.credentials).to.deep.equal({ username: 'ops', password: 'p@ss' });
    await using open = connect({ url: 'esdb://localhost:2113?tls=false' });
    expect(open.streams.chain('acme')).to.equal('prov_ledger_facts-acme');
  });

  it('a prefix that would reach into other streams is refused', () => {
    for (const prefix of ['', '$all', 'A', 'a-b', '9', 'x'.repeat(33)])
      expect(() => streamNames(prefix), prefix).to.throw(TypeError, 'prefix');
  });

  it('places that follow one another are read at once, a thousand at most', () => {
    const seqs = [1, 2, 3, 7, 9, 10] as Seq[];
    expect(runsOf(seqs).map(({ from, to }) => [from, to])).to.deep.equal([
      [1, 3],
      [7, 7],
      [9, 10],
    ]);
    const many = Array.from({ length: 2_500 }, (_, index) => (index + 1) as Seq);
    expect(runsOf(many).map(({ from, to }) => to - from + 1)).to.deep.equal([1_000, 1_000, 500]);
    expect(runsOf([])).to.deep.equal([]);
  });
});
