// Settings of where drift alarms go: docs/operations/alarms.md says what a receiver gets.
import { createHash } from 'node:crypto';
import type { WebhookTarget } from '#gateway/alarms/webhook.ts';
import { optional, type Setting, type Unusable, type Values, whole } from './setting.ts';

const LOCAL = new Set(['localhost', '127.0.0.1', '[::1]']);

const webhookUrl = (raw: string): string | Unusable => {
  const wanted = {
    fault: 'give an https URL without a password in it; http is for receivers on this machine only',
  };
  if (!URL.canParse(raw)) return wanted;
  const { protocol, hostname, username, password } = new URL(raw);
  const safe = protocol === 'https:' || (protocol === 'http:' && LOCAL.has(hostname));
  return safe && username === '' && password === '' ? raw : wanted;
};

const SECRET = /^whsec_((?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/;

const secretOf = (text: string): Uint8Array | undefined => {
  const [, base64] = SECRET.exec(text) ?? [];
  const bytes = base64 === undefined ? undefined : Buffer.from(base64, 'base64');
  return bytes && bytes.length >= 24 && bytes.length <= 64 ? bytes : undefined;
};

const parts = (raw: string): readonly string[] => raw.split(/[\s,]+/).filter((part) => part !== '');

const webhookSecrets = (raw: string): string | Unusable =>
  parts(raw).length > 0 && parts(raw).every((part) => secretOf(part))
    ? raw
    : { fault: 'give whsec_ and the base64 of 24 to 64 random bytes; two of them while one is replaced' };

export const alarmSettings = {
  alarmWebhookUrl: {
    name: 'PROV_LEDGER_ALARM_WEBHOOK_URL',
    description: 'where drift alarms are sent, signed; they are logged in any case',
    parse: webhookUrl,
    fallback: undefined,
    // Its path may be as good as a password.
    show: (value) => (value === undefined ? 'none' : new URL('/***', value).href),
  } as Setting<string | undefined>,
  alarmWebhookSecret: {
    ...optional({
      name: 'PROV_LEDGER_ALARM_WEBHOOK_SECRET',
      description: 'what they are signed with: whsec_ and base64, as Standard Webhooks says',
      parse: webhookSecrets,
    }),
    show: (value) => (value === undefined ? 'none' : '***'),
  } as Setting<string | undefined>,
  alarmDeadlineSeconds: {
    name: 'PROV_LEDGER_ALARM_DEADLINE_SECONDS',
    description: 'how long an alarm that is not taken is sent again, later and later, before it is given up',
    parse: whole(60, 2_592_000),
    fallback: 86_400,
  } as Setting<number>,
};

/** `undefined` where none is configured. */
export const webhookOf = ({
  alarmWebhookUrl: url,
  alarmWebhookSecret: raw,
}: Pick<Values<typeof alarmSettings>, 'alarmWebhookUrl' | 'alarmWebhookSecret'>):
  | WebhookTarget
  | undefined =>
  url === undefined || raw === undefined
    ? undefined
    : { url, secrets: parts(raw).map((part) => secretOf(part) as Uint8Array) };

/** The name under which what it was told is remembered: its address and nothing of its secret. */
export const webhookSink = ({ url }: WebhookTarget): string =>
  `webhook-${createHash('sha256').update(url).digest('hex').slice(0, 12)}`;
