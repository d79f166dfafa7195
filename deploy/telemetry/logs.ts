// Logs: one JSON object a line, on standard error. Threat: logs are copied to places that never see the ledger. So
// nothing that came in a request's body, and no secret, is ever put in one: known names are struck out, texts are
// searched for tokens and passwords, and what an error quotes is cut out of its message.
import pino from 'pino';
import { visible } from '#gateway/cli/output.ts';
import type { LogFormat, LogLevel } from '../configuration.ts';

export interface LogFields {
  readonly requestId?: string | undefined;
  readonly tenant?: string;
  readonly seq?: number;
  readonly hash?: string;
  readonly [name: string]: unknown;
}

export type Log = (level: LogLevel, message: string, fields?: LogFields) => void;

const SECRET_NAMES = [
  'authorization',
  'token',
  'tokenHash',
  'password',
  'secret',
  'payload',
  'inputs',
  'body',
  'databaseUrl',
];

export interface LogStream {
  readonly write: (text: string) => unknown;
  /** A terminal. */
  readonly isTTY?: boolean | undefined;
}

/** One line an event; `most` is the least urgent level that is written. */
export const logTo = (stream: LogStream, most: LogLevel, format: LogFormat = 'json'): Log => {
  const asText = format === 'text' || (format === 'auto' && stream.isTTY === true);
  const logger = pino(
    {
      level: most,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_NAMES.flatMap((name) => [name, `*.${name}`]), censor: '***' },
    },
    { write: (line) => void stream.write(asText ? textLine(line) : line) },
  );
  return (level, message, fields = {}) => {
    if (!logger.isLevelEnabled(level)) return;
    const safe = Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === 'string' ? withoutSecrets(value) : value,
    ]);
    logger[level](Object.fromEntries(safe), withoutSecrets(message));
  };
};

// For whoever sits before it: the time of day, the message, then the fields. One line too, and what a terminal would
// obey is shown as an escape.
const textLine = (line: string): string => {
  const { level, time, msg, ...fields } = JSON.parse(line) as { readonly [name: string]: unknown };
  const shown = Object.entries(fields).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const parts = [String(time).slice(11, 19), String(level).padEnd(5), String(msg), ...shown];
  return `${visible(parts.join('  '))}\n`;
};

/** What may be said of an error: what it is and where, without the values that its message quotes. */
export const errorFields = (error: unknown): LogFields => {
  if (!(error instanceof Error)) return { error: typeof error };
  const { name, message, stack = '', cause } = error;
  const { code } = error as { readonly code?: unknown };
  return {
    error: name,
    ...(typeof code === 'string' && { code }),
    reason: withoutQuotes(message),
    at: stack
      .split('\n')
      .filter((line) => /^\s+at /.test(line))
      .map((line) => line.trim())
      .join('\n'),
    ...(cause instanceof Error && { cause: `${cause.name}: ${withoutQuotes(cause.message)}` }),
  };
};

const withoutQuotes = (text: string): string => text.replace(/"[^]*"|`[^]*`|'[^]*'/g, '"…"');

export const withoutSecrets = (text: string): string =>
  text
    .replace(/\bplt_[A-Za-z0-9_-]+\.\S+/g, 'plt_***')
    .replace(/\bBearer\s+\S+/gi, 'Bearer ***')
    .replace(/(\w+:\/\/[^\s:/@]*):[^\s@/]*@/g, '$1:***@')
    .replace(/\b((?:ssl)?password|secret)=[^\s&]*/gi, '$1=***');
