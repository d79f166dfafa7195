// Opening a tenant's chain, and who may act for it.
import type { Sha256, TenantId } from '#schemas/ids.ts';
import { type Instant, instant, streamName, tenantId } from '#schemas/ids.ts';
import type { TenantEvent, TokenId } from '#schemas/tenants.ts';
import { accept, type Decider, type Refusal, refuse } from './decider.ts';

/**
 * The tenant of those who run the ledger: their tokens, what they do, and what the ledger states about itself are facts
 * of a chain like any other.
 */
export const OPERATORS: TenantId = tenantId('operators');

/** Each is for the tenant of its context. */
export type TenantCommand =
  | { readonly type: 'CreateTenant'; readonly displayName: string }
  | { readonly type: 'RenameTenant'; readonly displayName: string }
  | { readonly type: 'SuspendTenant'; readonly reason: string }
  | { readonly type: 'ResumeTenant' }
  | IssueToken
  | { readonly type: 'RevokeToken'; readonly tokenId: TokenId; readonly reason?: string };

export interface IssueToken {
  readonly type: 'IssueToken';
  readonly tokenId: TokenId;
  /** SHA-256 of the secret. */
  readonly tokenHash: Sha256;
  readonly scopes: readonly string[];
  /** RFC 3339; without it the token ends only by being revoked. */
  readonly expiresAt?: string;
  readonly label?: string;
}

export type TenantRefusal = Refusal<
  | 'TenantAlreadyExists'
  | 'TenantUnknown'
  | 'TenantSuspended'
  | 'TenantNotSuspended'
  | 'TokenIdTaken'
  | 'TokenAlreadyExpired'
  | 'TokenUnknown'
  | 'TokenAlreadyRevoked'
>;

export interface TenantToken {
  readonly tokenId: TokenId;
  readonly tokenHash: Sha256;
  readonly scopes: readonly string[];
  readonly expiresAt?: Instant | undefined;
  readonly label?: string | undefined;
  readonly revoked: boolean;
}

export interface TenantState {
  readonly standing: 'absent' | 'active' | 'suspended';
  readonly displayName: string;
  readonly tokens: ReadonlyMap<string, TenantToken>;
}

export const tenants: Decider<TenantCommand, TenantState, TenantEvent, TenantRefusal> = {
  domain: 'tenants',
  stream: (_, tenant) => streamName('tenants', tenant),
  opensTenant: (command) => command.type === 'CreateTenant',
  initial: { standing: 'absent', displayName: '', tokens: new Map() },

  evolve: (state, { type, data }) => {
    switch (type) {
      case 'tenants.TenantCreated':
        return { ...state, standing: 'active', displayName: data.display_name };
      case 'tenants.TenantRenamed':
        return { ...state, displayName: data.display_name };
      case 'tenants.TenantSuspended':
        return { ...state, standing: 'suspended' };
      case 'tenants.TenantResumed':
        return { ...state, standing: 'active' };
      case 'tenants.TokenIssued':
        return withToken(state, {
          tokenId: data.token_id as TokenId,
          tokenHash: data.token_hash as Sha256,
          scopes: data.scopes,
          expiresAt: data.expires_at === undefined ? undefined : instant(data.expires_at),
          label: data.label,
          revoked: false,
        });
      case 'tenants.TokenRevoked': {
        const token = state.tokens.get(data.token_id);
        return token ? withToken(state, { ...token, revoked: true }) : state;
      }
      default:
        return type satisfies never;
    }
  },

  decide: (command, state, { tenant, at }) => {
    if (command.type === 'CreateTenant') {
      if (state.standing !== 'absent')
        return refuse('TenantAlreadyExists', `${tenant} exists; choose another name or use it as it is`);
      return accept({
        event: { type: 'tenants.TenantCreated', data: { tenant, display_name: command.displayName } },
      });
    }
    if (state.standing === 'absent')
      return refuse('TenantUnknown', `there is no tenant ${tenant}; create it first`);
    switch (command.type) {
      case 'RenameTenant':
        return accept({
          event: { type: 'tenants.TenantRenamed', data: { display_name: command.displayName } },
        });
      case 'SuspendTenant':
        if (state.standing === 'suspended')
          return refuse('TenantSuspended', `${tenant} is suspended already`);
        return accept({ event: { type: 'tenants.TenantSuspended', data: { reason: command.reason } } });
      case 'ResumeTenant':
        if (state.standing === 'active')
          return refuse('TenantNotSuspended', `${tenant} is not suspended; there is nothing to resume`);
        return accept({ event: { type: 'tenants.TenantResumed', data: {} } });
      case 'IssueToken':
        return issueToken(command, state, { tenant, at });
      case 'RevokeToken': {
        const { tokenId: token_id, reason } = command;
        const token = state.tokens.get(token_id);
        if (!token)
          return refuse(
            'TokenUnknown',
            `${tenant} has no token ${token_id}; list its tokens to find the one meant`,
          );
        if (token.revoked)
          return refuse('TokenAlreadyRevoked', `the token ${token_id} was revoked before; it lets nobody in`);
        return accept({
          event: {
            type: 'tenants.TokenRevoked',
            data: { token_id, ...(reason !== undefined && { reason }) },
          },
        });
      }
      default:
        return command satisfies never;
    }
  },
};

const issueToken = (
  command: IssueToken,
  state: TenantState,
  { tenant, at }: { tenant: TenantId; at: Instant },
) => {
  const { tokenId, tokenHash, scopes, expiresAt, label } = command;
  if (state.standing === 'suspended')
    return refuse('TenantSuspended', `${tenant} is suspended; resume it before letting anyone in`);
  if (state.tokens.has(tokenId))
    return refuse('TokenIdTaken', `${tenant} has had a token ${tokenId}; choose another id`);
  if (expiresAt !== undefined && Date.parse(expiresAt) <= at)
    return refuse('TokenAlreadyExpired', `${expiresAt} has passed; give a later end`);
  const data = {
    token_id: tokenId,
    token_hash: tokenHash,
    scopes: [...scopes],
    ...(expiresAt !== undefined && { expires_at: expiresAt }),
    ...(label !== undefined && { label }),
  };
  return accept<TenantEvent>({ event: { type: 'tenants.TokenIssued', data } });
};

const withToken = (state: TenantState, token: TenantToken): TenantState => ({
  ...state,
  tokens: new Map(state.tokens).set(token.tokenId, token),
});

/** The token with this hash, if it lets its bearer in at this moment: not revoked, not expired, tenant active. */
export const tokenInForce = (state: TenantState, tokenHash: string, at: Instant): TenantToken | undefined => {
  if (state.standing !== 'active') return undefined;
  for (const token of state.tokens.values()) {
    if (token.tokenHash === tokenHash)
      return token.revoked || (token.expiresAt ?? Infinity) <= at ? undefined : token;
  }
  return undefined;
};
