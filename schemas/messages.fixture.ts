// Fixtures of messages: in a tenant's chain now and then one that conflicted; in the chain of the ledger's own operations
// the statements of each hour, and what operators did with the letters.
import type { Chance, EventGenerator, Saying, TenantSayings } from './fixture.ts';
import { type Instant, instantText } from './ids.ts';

const TOPICS = ['provenance.receipts.v1', 'metering.events.v1', 'policy.bundle.updates'] as const;
const PARTITIONS = 12;
const OPERATORS = ['operator@example.org', 'on-call@example.org', 'zoë@example.org'] as const;
const REASONS = ['sent by a test', 'the producer is gone', 'zu alt, „abgelaufen“'] as const;
const LEDGER = 'prov-ledger';
const HOUR_MS = 3_600_000;

export const messagesFixture = {
  domain: 'messages',
  perTenThousand: 4,
  forTenant: (tenant, chance) => conflicts(tenant, chance),
  forOperations: (chance) => operations(chance),
} satisfies EventGenerator;

interface Said {
  readonly name: string;
  readonly actor: string;
  readonly data: Saying['data'];
}

const saying = (key: string, at: Instant, { name, actor, data }: Said): Saying => ({
  key: `${name} ${key}`,
  type: `messages.${name}`,
  schemaVersion: 1,
  data,
  occurredAt: at,
  actor,
});

const placeOf = (chance: Chance) => ({
  partition: chance.skewed(PARTITIONS),
  topic: TOPICS[chance.skewed(TOPICS.length)] as string,
});

const conflicts = (tenant: string, chance: Chance): TenantSayings => {
  let said = 0;
  return {
    next: (at) => {
      said += 1;
      return saying(`${said} of ${tenant}`, at, {
        name: 'MessageConflicted',
        actor: LEDGER,
        data: {
          digest: chance.hex(64),
          // The chain is longer than what this domain has said in it.
          first_seq: said,
          id: `run-${chance.hex(20).toUpperCase()}`,
          offset: chance.int(4_000_000_000),
          ...placeOf(chance),
        },
      });
    },
  };
};

const operations = (chance: Chance): TenantSayings => {
  let said = 0;
  let letters = 0;
  const about = (at: Instant): Said => {
    const draw = chance.int(100);
    if (draw < 60 || letters === 0) {
      const stated = flow(at, chance);
      letters += stated.dead_lettered;
      return { name: 'FlowStated', actor: LEDGER, data: stated };
    }
    const actor = chance.pick(OPERATORS);
    if (draw < 70) {
      const listed = chance.int(50);
      return {
        name: 'LettersListed',
        actor,
        data: { listed, ...(chance.perMille(500) && { topic: placeOf(chance).topic }) },
      };
    }
    const letter = {
      letter: 1 + chance.int(letters),
      offset: chance.int(4_000_000_000),
      ...placeOf(chance),
    };
    if (draw < 80) return { name: 'LetterViewed', actor, data: letter };
    if (draw < 95) return { name: 'LetterReplayed', actor, data: letter };
    return { name: 'LetterDiscarded', actor, data: { ...letter, reason: chance.pick(REASONS) } };
  };
  return {
    next: (at) => {
      said += 1;
      return saying(`${said} of operations`, at, about(at));
    },
  };
};

/** `received` is the sum of the five: what has come is somewhere. */
const flow = (at: Instant, chance: Chance) => {
  const accepted = chance.skewed(200_000);
  const duplicate = chance.skewed(2_000);
  const conflict = chance.skewed(20);
  const dead_lettered = chance.skewed(9);
  const held = chance.skewed(30);
  return {
    accepted,
    conflict,
    dead_lettered,
    discarded: chance.int(dead_lettered + 1),
    duplicate,
    held,
    hour: instantText((at - (at % HOUR_MS)) as Instant),
    received: accepted + duplicate + conflict + dead_lettered + held,
    ...placeOf(chance),
  };
};
