import { expect } from 'chai';
import fc from 'fast-check';
import { MalformedId } from '#schemas/ids.ts';
import { faultsOf } from '#schemas/index.ts';
import { tokenId } from '#schemas/tenants.ts';
import { tenantEvent } from '#test/support/arbitraries.ts';

describe('schemas/tenants', () => {
  it('every event is sound as the arbitraries make it', () => {
    fc.assert(
      fc.property(tenantEvent, ({ type, data }) => void expect(faultsOf(type, 1, data)).to.deep.equal([])),
    );
  });

  it('every event refuses a member it does not have and misses one that it has', () => {
    fc.assert(
      fc.property(tenantEvent, ({ type, data }) => {
        expect(faultsOf(type, 1, { ...data, secret: 'x' }))
          .to.have.lengthOf(1)
          .and.have.nested.property('[0].pointer', '/secret');
        const [first] = Object.keys(data);
        if (first !== undefined)
          expect(faultsOf(type, 1, { ...data, [first]: 7 })).to.have.nested.property(
            '[0].pointer',
            `/${first}`,
          );
      }),
    );
  });

  it('a token needs a scope, of the form what:may, and its secret never fits', () => {
    const sound = { token_id: 'ci', token_hash: 'ab'.repeat(32), scopes: ['receipts:write'] };
    expect(faultsOf('tenants.TokenIssued', 1, sound)).to.deep.equal([]);
    expect(faultsOf('tenants.TokenIssued', 1, { ...sound, scopes: [] })[0]?.message).to.include('1 to 32');
    expect(faultsOf('tenants.TokenIssued', 1, { ...sound, scopes: ['all'] })[0]?.message).to.include(
      'receipts:write',
    );
    expect(faultsOf('tenants.TokenIssued', 1, { ...sound, token_hash: 'my secret' })[0]?.message).to.include(
      'SHA-256',
    );
    expect(faultsOf('tenants.TokenIssued', 1, { ...sound, expires_at: '2027' })[0]?.message).to.include(
      'RFC 3339',
    );
  });

  it('tokenId takes 1 to 64 of letters, digits, _ and -', () => {
    for (const id of ['ci', '_-aZ9', 'x'.repeat(64)]) expect(tokenId(id)).to.equal(id);
    for (const id of ['', 'a.b', 'a b', 'é', 'x'.repeat(65)])
      expect(() => tokenId(id)).to.throw(MalformedId, 'use 1 to 64');
  });
});
