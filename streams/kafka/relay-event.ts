// What a relay tells of itself.
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { StreamError } from '#streams/errors.ts';
import type { KafkaError } from './errors.ts';

export type RelayEvent =
  /** This relay serves the topic from now on. */
  | { readonly type: 'leading'; readonly topic: string }
  | { readonly type: 'sent'; readonly facts: number; readonly tenants: number; readonly seconds: number }
  | { readonly type: 'heads'; readonly tenants: number }
  /** The broker, the registry or the store does not answer as it must: tried again after the delay. */
  | { readonly type: 'waiting'; readonly error: KafkaError | StreamError; readonly delayMs: number }
  /** The topic lacks messages that were acknowledged: it was made anew. All facts are sent again, from the store. */
  | { readonly type: 'anew'; readonly topic: string; readonly partition: number }
  /** The chain does not go on from what was sent: another history. Nothing of the tenant is sent; a person decides. */
  | { readonly type: 'halted'; readonly tenant: TenantId; readonly seq: Seq; readonly message: string };
