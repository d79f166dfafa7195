// A message as it came over a topic, and what a reader makes of it.
import { createHash } from 'node:crypto';
import type { AppendRequest } from '#streams/stream.ts';
import type { StreamKey } from '../reader.ts';

export interface Place {
  /** As the cluster calls it. */
  readonly topic: string;
  readonly partition: number;
}

/** One message, with the very bytes it came in. */
export interface Message extends Place {
  readonly offset: number;
  /** Messages with one key stay in order; one without a key stands for itself. */
  readonly key: Buffer | undefined;
  readonly value: Buffer | undefined;
  /** Names as they came, in their order. */
  readonly headers: readonly (readonly [name: string, value: Buffer])[];
  /** Milliseconds since 1970, as the topic has it. */
  readonly sentAt: number;
}

/** SHA-256 by which a message is known again: another one in its place has another key, value or time. */
export const messageHash = ({ key, value, sentAt }: Message): Buffer =>
  createHash('sha256')
    .update(`${sentAt} ${key?.length ?? -1} ${value?.length ?? -1} `)
    .update(key ?? '')
    .update(value ?? '')
    .digest();

/** Why a message cannot be taken. */
export const ERROR_CLASSES = [
  /** No value, or not framed: no producer of ours sent it. */
  'not-framed',
  /** The registry has no such schema: publish it, then replay. */
  'unknown-schema',
  /** The schema is of another event, or the bytes are none of it. */
  'undecodable',
  /** It is decoded and breaks a rule; the error names the member. */
  'malformed',
  /** It names a tenant that is not there: create it, then replay. */
  'no-such-tenant',
  /** The registry did not answer: replayed by itself once it does. */
  'registry-away',
  /** The write path that its fact would take is closed: taken by itself once it opens. */
  'write-path-closed',
  /** A message before it with the same key was not taken. */
  'behind-another',
] as const;

export type ErrorClass = (typeof ERROR_CLASSES)[number];

/** What a reader makes of a message: a fact to append, or why not. */
export type Reading =
  | { readonly kind: 'append'; readonly request: AppendRequest }
  | {
      readonly kind: 'aside';
      readonly errorClass: Exclude<ErrorClass, 'behind-another'>;
      readonly error: string;
      readonly schemaId?: number | undefined;
      /** The closed gate, of a message that waits for one. */
      readonly waitsFor?: StreamKey | undefined;
    };

/** What is wrong with these mends itself: they are no dead letters, and nobody need do anything. */
const WAITING: ReadonlySet<ErrorClass> = new Set(['registry-away', 'write-path-closed', 'behind-another']);

export const stateOf = (errorClass: ErrorClass): 'dead' | 'held' =>
  WAITING.has(errorClass) ? 'held' : 'dead';

/** Never throws; asks the registry where it must. */
export type Reader = (message: Message) => Reading | Promise<Reading>;

/** Of each message taken, exactly one is true. `held` waits for another message, the registry or a gate. */
export type FlowFate = 'accepted' | 'duplicate' | 'conflict' | 'dead_lettered' | 'held';
export const FLOW_FATES: readonly FlowFate[] = ['accepted', 'duplicate', 'conflict', 'dead_lettered', 'held'];

export const keyText = (key: Buffer | undefined): string | undefined => key?.toString('latin1');
