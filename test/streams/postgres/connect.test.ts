import { expect } from 'chai';
import { isConnectionFailure, streamError } from '#streams/postgres/connect.ts';

const answer = (code: string): Error => Object.assign(new Error(`injected ${code}`), { code });

describe('streams/postgres: what an error of the driver means', () => {
  const meanings = {
    unavailable: [
      'ECONNREFUSED',
      'ETIMEDOUT',
      '08006',
      '57P01',
      '57P03',
      '57014',
      '53200',
      '53300',
      '25006',
      '25P03',
    ],
    'out-of-space': ['53100', '53400'],
    moving: ['PL002'],
    forbidden: ['42501'],
    'schema-mismatch': ['42P01', '42703'],
    unexpected: ['22P02', '42601', '25001', 'XX000'],
  };
  for (const [code, states] of Object.entries(meanings))
    it(`${code}: ${states.join(', ')}; only what is unavailable is tried over another connection`, () => {
      for (const state of states) {
        expect(streamError(answer(state)), state).to.have.property('code', code);
        expect(isConnectionFailure(answer(state)), state).to.equal(code === 'unavailable');
      }
    });

  it('what the driver says without a code: the connection is lost, or none came in time', () => {
    for (const message of [
      'Connection terminated unexpectedly',
      'Connection terminated due to connection timeout',
      'timeout exceeded when trying to connect',
      'timeout expired',
      'Client has encountered a connection error and is not queryable',
    ])
      expect(streamError(new Error(message)), message).to.have.property('code', 'unavailable');
    expect(streamError(new Error('something else'))).to.have.property('code', 'unexpected');
  });
});
