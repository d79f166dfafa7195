import { expect } from 'chai';
import fc from 'fast-check';
import type { CommandContext } from '#commands/decider.ts';
import { receipts } from '#commands/receipts.ts';
import { CommandError, claimId, draftsOf, type Outcome, runCommand } from '#commands/run.ts';
import { type TenantCommand, tenants } from '#commands/tenants.ts';
import type { Recorded } from '#schemas/event.ts';
import { type Instant, isUuid, sha256, streamName, tenantId } from '#schemas/ids.ts';
import { tokenId } from '#schemas/tenants.ts';
import { memoryStorage } from '#streams/memory/storage.ts';
import { memoryStreamStore } from '#streams/memory/store.ts';
import type { AppendRequest, StreamStore } from '#streams/stream.ts';
import { tenantText } from '#test/support/arbitraries.ts';
import { inContext } from '#test/support/given.ts';
import { testSigner } from '#test/support/test-signer.ts';

const acme = tenantId('acme');
const receipt = {
  id: 'r-1',
  action: 'db.export',
  actor: 'svc',
  tenant: 'acme',
  decision: 'allow',
  created_at: '2026-11-21T09:00:00Z',
};
const recordReceipt = { type: 'RecordReceipt', receipt, schemaVersion: 3 } as const;
const create: TenantCommand = { type: 'CreateTenant', displayName: 'Acme' };
const rename = (displayName: string): TenantCommand => ({ type: 'RenameTenant', displayName });
const issue: TenantCommand = {
  type: 'IssueToken',
  tokenId: tokenId('ci'),
  tokenHash: sha256('ab'.repeat(32)),
  scopes: ['receipts:write'],
  expiresAt: '2026-11-21T10:00:00Z',
};
const revoke: TenantCommand = { type: 'RevokeToken', tokenId: tokenId('ci') };

interface World {
  readonly store: StreamStore;
  /** Every append asked for. */
  readonly asked: AppendRequest[];
  /** What happens between the next load and its append. */
  before: (() => Promise<unknown>) | undefined;
  readonly tenant: (command: TenantCommand, key: string, over?: Partial<CommandContext>) => Promise<Outcome>;
  readonly receipt: (document: typeof receipt, key?: string) => Promise<Outcome>;
}

const world = (): World => {
  const store = memoryStreamStore({
    storage: memoryStorage(),
    signer: testSigner().signer,
    clock: () => Date.UTC(2026, 10, 21, 9),
  });
  const made: World = {
    asked: [],
    before: undefined,
    store: {
      ...store,
      append: async (request) => {
        made.asked.push(request);
        const first = made.before;
        made.before = undefined;
        await first?.();
        return store.append(request);
      },
    },
    tenant: (command, key, over) =>
      runCommand({ store: made.store, decider: tenants }, command, inContext({ ...over, key })),
    receipt: (document, key = document.id) =>
      runCommand(
        { store: made.store, decider: receipts },
        { ...recordReceipt, receipt: document },
        inContext({ key }),
      ),
  };
  return made;
};

const facts = (outcome: Outcome): readonly Recorded[] => {
  if (outcome.kind !== 'recorded' && outcome.kind !== 'repeated')
    throw new Error(`no facts, but ${JSON.stringify(outcome)}`);
  return outcome.facts.map(({ fact }) => fact);
};

const refusal = (outcome: Outcome): string =>
  outcome.kind === 'refused' ? outcome.refusal.refusal : `not refused: ${outcome.kind}`;

describe('commands/run', () => {
  it('records what was decided, with its author, time and stream', async () => {
    const { tenant } = world();
    const outcome = await tenant(create, 'k-1', { opId: 'op-1', region: 'eu' });
    expect(outcome.kind).to.equal('recorded');
    expect(facts(outcome)).to.have.lengthOf(1);
    expect(facts(outcome)[0]).to.include({
      tenant: 'acme',
      seq: 1,
      id: claimId(acme, 'k-1'),
      type: 'tenants.TenantCreated',
      schemaVersion: 1,
      stream: streamName('tenants', 'acme'),
      actor: 'alice',
      occurredAt: Date.UTC(2026, 10, 21, 9),
      opId: 'op-1',
      region: 'eu',
      payload: '{"display_name":"Acme","tenant":"acme"}',
    });
  });

  describe('a request sent again', () => {
    it('gets its first answer, though by its own doing it would now be refused', async () => {
      const { tenant, store } = world();
      const first = await tenant(create, 'k-1');
      const again = await tenant(create, 'k-1');
      expect(again.kind).to.equal('repeated');
      expect(facts(again)).to.deep.equal(facts(first));
      expect((await store.head(acme))?.seq).to.equal(1);
    });

    it('gets its first answer, though others have since changed what it would be', async () => {
      const { tenant, store } = world();
      await tenant(create, 'k-1');
      await tenant(issue, 'k-2');
      const revoked = facts(await tenant(revoke, 'k-3'));
      await tenant({ type: 'SuspendTenant', reason: 'unpaid' }, 'k-4');
      await tenant(rename('Acme Ltd'), 'k-5');
      await tenant(rename('Acme plc'), 'k-6');
      expect(facts(await tenant(revoke, 'k-3'))).to.deep.equal(revoked);
      expect(facts(await tenant(issue, 'k-2'))[0]).to.include({ seq: 2 });
      expect(facts(await tenant(rename('Acme Ltd'), 'k-5'))[0]).to.include({ seq: 5 });
      expect((await store.head(acme))?.seq).to.equal(6);
    });

    it('gets its first answer, though its time has passed', async () => {
      const { tenant } = world();
      await tenant(create, 'k-1');
      await tenant(issue, 'k-2');
      const later = { at: Date.UTC(2027, 0, 1) as Instant };
      expect(facts(await tenant(issue, 'k-2', later))[0]).to.include({ seq: 2, type: 'tenants.TokenIssued' });
      expect(
        refusal(await tenant({ ...issue, tokenId: tokenId('other') } as TenantCommand, 'k-3', later)),
      ).to.equal('TokenAlreadyExpired');
    });

    it('is another request when it asks for something else, and is told which fact has the key', async () => {
      const { tenant, receipt: record } = world();
      await tenant(create, 'k-1');
      const other = await tenant({ type: 'CreateTenant', displayName: 'Other' }, 'k-1');
      expect(other).to.have.property('kind', 'id-taken');
      expect(other).to.have.nested.property('first.seq', 1);
      expect(await tenant(rename('Acme Ltd'), 'k-1')).to.have.property('kind', 'id-taken');
      await record(receipt);
      expect(await tenant(revoke, 'r-1')).to.have.nested.property('first.type', 'receipts.ReceiptRecorded');
    });

    it('with another key is refused', async () => {
      const { tenant } = world();
      await tenant(create, 'k-1');
      expect(refusal(await tenant(create, 'k-2'))).to.equal('TenantAlreadyExists');
    });
  });

  describe('when others are faster', () => {
    it('decides again from what they did', async () => {
      const it = world();
      await it.tenant(create, 'k-1');
      await it.tenant(issue, 'k-2');
      it.before = () => it.tenant(revoke, 'k-3');
      expect(refusal(await it.tenant(revoke, 'k-4'))).to.equal('TokenAlreadyRevoked');
      it.before = () => it.tenant(rename('Acme Ltd'), 'k-5');
      expect(facts(await it.tenant(rename('Acme plc'), 'k-6'))[0]).to.include({ seq: 5 });
    });

    it('is not disturbed by facts of other streams', async () => {
      const it = world();
      await it.tenant(create, 'k-1');
      it.before = () => it.receipt(receipt);
      const asked = it.asked.length;
      expect(facts(await it.tenant(rename('Acme Ltd'), 'k-2'))[0]).to.include({ seq: 3 });
      expect(it.asked.length - asked).to.equal(2);
    });

    it('one of two that open a tenant wins, the other is refused, or repeated when it is the same request', async () => {
      const it = world();
      it.before = () => it.tenant(create, 'k-1');
      expect(refusal(await it.tenant(create, 'k-2'))).to.equal('TenantAlreadyExists');
      const same = world();
      same.before = () => same.tenant(create, 'k-1');
      expect(await same.tenant(create, 'k-1')).to.have.property('kind', 'repeated');
    });

    it('gives up after a bounded number of decisions, with nothing stored', async () => {
      const it = world();
      await it.tenant(create, 'k-1');
      let decided = 0;
      const losing = { ...it.store, append: async () => ({ kind: 'conflict', actual: 9 }) as never };
      const counting = {
        ...tenants,
        decide: (...given: Parameters<typeof tenants.decide>) => (decided++, tenants.decide(...given)),
      };
      const outcome = runCommand(
        { store: losing, decider: counting, attempts: 3 },
        rename('A'),
        inContext({ key: 'k-2' }),
      );
      const error: unknown = await outcome.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).to.be.instanceOf(CommandError).and.have.property('code', 'too-many-conflicts');
      expect(decided).to.equal(3);
      expect((await it.store.head(acme))?.seq).to.equal(1);
    });
  });

  describe('a pure insert', () => {
    it('loads nothing, expects nothing, and is its own request', async () => {
      const it = world();
      await it.tenant(create, 'k-1');
      const blind = {
        ...it.store,
        readStream: () => Promise.reject(new Error('loaded')),
        find: () => Promise.reject(new Error('sought')),
      };
      const outcome = await runCommand(
        { store: blind, decider: receipts },
        recordReceipt,
        inContext({ key: 'r-1' }),
      );
      expect(facts(outcome)[0])
        .to.include({ seq: 2, actor: 'svc' })
        .and.not.include({ stream: 'receipts-r-1' });
      expect(it.asked.at(-1)).to.deep.include({ expect: { kind: 'any' }, requestHash: undefined });
      expect(await it.receipt({ ...receipt, decision: 'maybe' })).to.have.property('kind', 'refused');
    });

    it('repeats the same document and refuses another of its id', async () => {
      const it = world();
      await it.tenant(create, 'k-1');
      await it.receipt(receipt);
      expect(await it.receipt({ ...receipt })).to.have.property('kind', 'repeated');
      expect(await it.receipt({ ...receipt, decision: 'deny' })).to.have.nested.property('first.seq', 2);
    });

    it('needs its tenant', async () => {
      expect(await world().receipt(receipt)).to.deep.equal({ kind: 'no-such-tenant' });
    });
  });

  it('refuses a command whose values do not fit the event, with every fault', async () => {
    const { tenant, asked } = world();
    const outcome = await tenant({ type: 'CreateTenant', displayName: '' }, 'k-1');
    expect(refusal(outcome)).to.equal('Malformed');
    expect(outcome).to.have.nested.property('refusal.faults[0].pointer', '/display_name');
    expect(outcome).to.have.nested.property('refusal.message').that.includes('/display_name');
    expect(asked).to.deep.equal([]);
  });

  describe('draftsOf', () => {
    const event = { type: 'tenants.TenantRenamed', data: { display_name: 'A' } } as const;

    it('gives the first fact the claim, and the others ids of their own that never change', () => {
      const ids = draftsOf([{ event }, { event }, { event }], inContext({ key: 'k-1' })).map(({ id }) => id);
      expect(ids).to.deep.equal([
        '210dbdea-16c2-8595-9b12-89f98b587156',
        '6e08ab8b-9434-8a7d-9d7f-e19a350d48f9',
        'a52714e4-1ce0-86ed-84f6-9b534043ef65',
      ]);
    });

    it('takes from the context what the event does not say', () => {
      const context = inContext({ opId: 'op', opParentId: 'parent', region: 'eu', traceparent: '00-a-b-01' });
      const [plain, own] = draftsOf(
        [{ event }, { event, actor: 'bob', occurredAt: 5 as Instant, opId: 'mine', schemaVersion: 1 }],
        context,
      );
      expect(plain).to.include({
        actor: 'alice',
        occurredAt: context.at,
        opId: 'op',
        opParentId: 'parent',
        region: 'eu',
        traceparent: '00-a-b-01',
        schemaVersion: 1,
      });
      expect(own).to.include({
        actor: 'bob',
        occurredAt: 5,
        opId: 'mine',
        opParentId: 'parent',
        region: 'eu',
      });
    });

    it('writes canonical payloads, or takes the text at hand for the first', () => {
      const data = { tenant: 'acme', display_name: 'Acme' };
      const both = [
        { event: { type: 'tenants.TenantCreated', data } },
        { event: { type: 'tenants.TenantCreated', data } },
      ];
      const canonical = '{"display_name":"Acme","tenant":"acme"}';
      expect(draftsOf(both, inContext()).map(({ payload }) => payload)).to.deep.equal([canonical, canonical]);
      expect(draftsOf(both, inContext(), { payload: 'at hand' }).map(({ payload }) => payload)).to.deep.equal(
        ['at hand', canonical],
      );
    });

    it('is stopped by an event that no domain knows', () => {
      expect(() => draftsOf([{ event: { type: 'tenants.Unknown', data: {} } }], inContext())).to.throw(
        'tenants.Unknown, which no domain',
      );
    });
  });

  describe('claimId', () => {
    it('leaves a lower-case UUID alone and hashes any other key into a UUID of version 8', () => {
      const uuid = '0190a000-0000-7000-8000-000000000001';
      expect(claimId(acme, uuid)).to.equal(uuid);
      expect(claimId(acme, uuid.toUpperCase())).to.match(
        /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
      fc.assert(
        fc.property(tenantText, fc.string({ unit: 'grapheme' }), (tenant, key) => {
          const id = claimId(tenantId(tenant), key);
          return isUuid(id) && id[14] === '8' && '89ab'.includes(id.charAt(19));
        }),
      );
    });

    it('is frozen', () => {
      // Computed with another program, from the words of its doc comment.
      expect(claimId(acme, 'r-1')).to.equal('aec5d490-555f-88b2-a4b6-f3147508b7bf');
      expect(claimId(acme, 'Zoë-1')).to.equal('51cd22f1-1eb1-8117-863a-c8938f02d102');
    });

    it('differs for every pair of tenant and key, however they meet', () => {
      fc.assert(
        fc.property(
          fc.stringMatching(/^[a-z][a-z0-9-]{3,12}$/),
          fc.stringMatching(/^[a-z0-9:]{1,8}$/),
          fc.integer({ min: 2, max: 3 }),
          (tenant, key, cut) => {
            const moved = claimId(tenantId(tenant.slice(0, cut)), tenant.slice(cut) + key);
            return (
              moved !== claimId(tenantId(tenant), key) &&
              claimId(tenantId(tenant), key) !== claimId(tenantId(`${tenant}x`), key)
            );
          },
        ),
      );
    });
  });
});
