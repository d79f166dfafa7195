// An alarm on its way to a receiver over HTTP, signed as Standard Webhooks 1.0.0 says (standardwebhooks.com): the id is
// the alarm's, the same at every attempt, so that a receiver that hears it twice knows it; the signature is HMAC-SHA-256
// over id, time of the attempt and body.
import { createHmac } from 'node:crypto';
import { retryAfterMs } from '../sdk/retry-after.ts';

export interface WebhookTarget {
  readonly url: string;
  /** Secrets, 24 to 64 bytes each: a message carries a signature by every one, so that one can be replaced. */
  readonly secrets: readonly Uint8Array[];
}

export interface WebhookMessage {
  readonly id: string;
  /** JSON; the same bytes at every attempt. */
  readonly body: string;
}

export interface WebhookFault {
  readonly text: string;
  /** What the receiver asked for in Retry-After; 0 where it did not. */
  readonly afterMs: number;
}

/** Longer than any receiver that first puts the alarm down and then answers. */
export const ANSWER_WITHIN_MS = 10_000;

/** `webhook-id`, `webhook-timestamp`, `webhook-signature`. */
export const webhookHeaders = (
  { id, body }: WebhookMessage,
  secrets: readonly Uint8Array[],
  seconds: number,
): { readonly [name: string]: string } => ({
  'webhook-id': id,
  'webhook-timestamp': String(seconds),
  'webhook-signature': secrets
    .map((secret) => `v1,${createHmac('sha256', secret).update(`${id}.${seconds}.${body}`).digest('base64')}`)
    .join(' '),
});

export interface SendOptions {
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  readonly signal: AbortSignal;
  readonly withinMs?: number;
}

/** One attempt. Any answer from 200 to 299 takes it: `undefined`. A redirect is followed nowhere. Never throws. */
export const sendWebhook = async (
  { url, secrets }: WebhookTarget,
  message: WebhookMessage,
  { clock, signal, withinMs = ANSWER_WITHIN_MS }: SendOptions,
): Promise<WebhookFault | undefined> => {
  try {
    const response = await fetch(url, {
      method: 'POST',
      redirect: 'manual',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'prov-ledger',
        ...webhookHeaders(message, secrets, Math.floor(clock() / 1_000)),
      },
      body: message.body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(withinMs)]),
    });
    // What it says beside the status is nobody's business, and may be without end.
    await response.body?.cancel();
    if (response.ok) return undefined;
    const afterMs = retryAfterMs(response.headers.get('retry-after'), clock());
    return { text: `it answered ${response.status}`, afterMs };
  } catch (error) {
    const { name, message: text, cause } = error as Error & { cause?: { code?: string } };
    const silent = name === 'TimeoutError';
    return {
      text: silent
        ? `it did not answer within ${withinMs} ms`
        : `it cannot be reached: ${cause?.code ?? text}`,
      afterMs: 0,
    };
  }
};
