import { expect } from 'chai';
import { tenants, tokenInForce } from '#commands/tenants.ts';
import { type Instant, instant, sha256 } from '#schemas/ids.ts';
import {
  type TenantCreated,
  type TenantResumed,
  type TenantSuspended,
  type TokenIssued,
  type TokenRevoked,
  tokenId,
} from '#schemas/tenants.ts';
import { given } from '#test/support/given.ts';

const HASH = sha256('ab'.repeat(32));
const created: TenantCreated = {
  type: 'tenants.TenantCreated',
  data: { tenant: 'acme', display_name: 'Acme' },
};
const suspended: TenantSuspended = { type: 'tenants.TenantSuspended', data: { reason: 'unpaid' } };
const resumed: TenantResumed = { type: 'tenants.TenantResumed', data: {} };
const issued: TokenIssued = {
  type: 'tenants.TokenIssued',
  data: { token_id: 'ci', token_hash: HASH, scopes: ['receipts:write'], expires_at: '2027-01-01T00:00:00Z' },
};
const revoked: TokenRevoked = { type: 'tenants.TokenRevoked', data: { token_id: 'ci' } };
const issue = {
  type: 'IssueToken',
  tokenId: tokenId('ci'),
  tokenHash: HASH,
  scopes: ['receipts:write'],
} as const;

describe('commands/tenants', () => {
  describe('a tenant', () => {
    it('is created once', () => {
      given(tenants).when({ type: 'CreateTenant', displayName: 'Acme' }).then(created);
      given(tenants, created)
        .when({ type: 'CreateTenant', displayName: 'Acme' })
        .thenRefused('TenantAlreadyExists');
    });

    it('must exist for everything else', () => {
      for (const type of ['RenameTenant', 'SuspendTenant', 'ResumeTenant', 'RevokeToken'] as const) {
        given(tenants)
          .when({ type, displayName: 'A', reason: 'r', tokenId: tokenId('ci') })
          .thenRefused('TenantUnknown');
      }
      given(tenants).when(issue).thenRefused('TenantUnknown');
    });

    it('is renamed, also while suspended', () => {
      const renamed = { type: 'tenants.TenantRenamed', data: { display_name: 'Acme Ltd' } } as const;
      given(tenants, created).when({ type: 'RenameTenant', displayName: 'Acme Ltd' }).then(renamed);
      given(tenants, created, suspended)
        .when({ type: 'RenameTenant', displayName: 'Acme Ltd' })
        .then(renamed);
      expect(given(tenants, created, renamed).state().displayName).to.equal('Acme Ltd');
    });

    it('is suspended and resumed in turn', () => {
      given(tenants, created).when({ type: 'SuspendTenant', reason: 'unpaid' }).then(suspended);
      given(tenants, created, suspended)
        .when({ type: 'SuspendTenant', reason: 'unpaid' })
        .thenRefused('TenantSuspended');
      given(tenants, created, suspended).when({ type: 'ResumeTenant' }).then(resumed);
      given(tenants, created, suspended, resumed)
        .when({ type: 'ResumeTenant' })
        .thenRefused('TenantNotSuspended');
    });
  });

  describe('a token', () => {
    it('is issued with what was given, and nothing else', () => {
      given(tenants, created)
        .when({ ...issue, expiresAt: '2027-01-01T00:00:00Z' })
        .then(issued);
      given(tenants, created)
        .when({ ...issue, label: 'build server' })
        .then({
          type: 'tenants.TokenIssued',
          data: { token_id: 'ci', token_hash: HASH, scopes: ['receipts:write'], label: 'build server' },
        });
    });

    it('is not issued twice, into the past, or to a suspended tenant', () => {
      given(tenants, created, issued).when(issue).thenRefused('TokenIdTaken');
      given(tenants, created, issued, revoked).when(issue).thenRefused('TokenIdTaken');
      given(tenants, created, suspended).when(issue).thenRefused('TenantSuspended');
      const expiresAt = '2026-11-21T10:00:00+01:00';
      given(tenants, created)
        .when({ ...issue, expiresAt })
        .thenRefused('TokenAlreadyExpired');
      const later = '2026-11-21T10:00:00.001+01:00';
      given(tenants, created)
        .when({ ...issue, expiresAt: later })
        .then({ type: 'tenants.TokenIssued', data: { ...issued.data, expires_at: later } });
    });

    it('is revoked once, also while its tenant is suspended', () => {
      given(tenants, created, issued)
        .when({ type: 'RevokeToken', tokenId: tokenId('ci') })
        .then(revoked);
      given(tenants, created, issued, suspended)
        .when({ type: 'RevokeToken', tokenId: tokenId('ci'), reason: 'lost' })
        .then({ type: 'tenants.TokenRevoked', data: { token_id: 'ci', reason: 'lost' } });
      given(tenants, created, issued, revoked)
        .when({ type: 'RevokeToken', tokenId: tokenId('ci') })
        .thenRefused('TokenAlreadyRevoked');
      given(tenants, created)
        .when({ type: 'RevokeToken', tokenId: tokenId('ci') })
        .thenRefused('TokenUnknown');
    });

    it('lets its bearer in until it ends', () => {
      const end = instant('2027-01-01T00:00:00Z');
      const before = (end - 1) as Instant;
      const state = given(tenants, created, issued).state();
      expect(tokenInForce(state, HASH, before)).to.include({ tokenId: 'ci', expiresAt: end, revoked: false });
      expect(tokenInForce(state, HASH, end)).to.equal(undefined);
      expect(tokenInForce(state, 'cd'.repeat(32), before)).to.equal(undefined);
      expect(tokenInForce(given(tenants, created, issued, revoked).state(), HASH, before)).to.equal(
        undefined,
      );
      expect(tokenInForce(given(tenants, created, issued, suspended).state(), HASH, before)).to.equal(
        undefined,
      );
      expect(
        tokenInForce(given(tenants, created, issued, suspended, resumed).state(), HASH, before),
      ).to.have.property('tokenId', 'ci');
    });
  });
});
