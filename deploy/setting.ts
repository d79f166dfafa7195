// One setting of the environment: its name, its meaning, and how its text is read.
import { resolve } from 'node:path';

export interface Setting<T> {
  readonly name: string;
  readonly description: string;
  /** The value, or why the text is none. */
  readonly parse: (raw: string) => T | Unusable;
  readonly fallback: T;
  /** As `config` shows it; the value as a text unless told. */
  readonly show?: (value: T) => string;
}

export interface Unusable {
  readonly fault: string;
}

/** What a table of settings is read into. */
export type Values<S> = { readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

/** The same for a setting that has a value only when it is given; `config` then shows `none`. */
export const optional = (of: Omit<Setting<string>, 'fallback' | 'show'>): Setting<string | undefined> => ({
  ...of,
  fallback: undefined,
  show: (value) => value ?? 'none',
});

export const whole = (least: number, most: number) => (raw: string) =>
  /^\d{1,9}$/.test(raw) && Number(raw) >= least && Number(raw) <= most
    ? Number(raw)
    : { fault: `give a whole number from ${least} to ${most}` };

const path = (of: string) => (raw: string) =>
  raw.includes('\0') ? { fault: `give the path of a ${of}` } : resolve(raw);
export const folder = path('folder');
export const file = path('file');

export const oneOf =
  <T extends string>(values: readonly T[]) =>
  (raw: string) =>
    values.find((value) => value === raw) ?? { fault: `give ${values.join(', ')}` };

export const someOf =
  <T extends string>(values: readonly T[]) =>
  (raw: string): readonly T[] | Unusable => {
    const asked = raw.split(/[\s,]+/).filter((name) => name !== '');
    const taken = values.filter((value) => asked.includes(value));
    return taken.length > 0 && taken.length === new Set(asked).size
      ? taken
      : { fault: `give one or more of ${values.join(', ')}` };
  };

export const hostName = (raw: string) =>
  /^[0-9A-Za-z.:%_-]{1,253}$/.test(raw)
    ? raw
    : { fault: 'give an address or a host name, for example 127.0.0.1 or ::' };

/** Settings that mean something only together: which are missing where one of them is given. */
export const together = (
  settings: readonly Setting<string | undefined>[],
  given: (name: string) => boolean,
): readonly { readonly name: string; readonly message: string }[] => {
  const there = settings.find(({ name }) => given(name));
  return settings
    .filter(({ name }) => there !== undefined && !given(name))
    .map(({ name }) => ({ name, message: `is needed where ${there?.name} is given` }));
};

/** Longer ones are a mistake, and would be shown. */
export const text = (raw: string) =>
  /^[\x21-\x7e]{1,512}$/.test(raw)
    ? raw
    : { fault: 'give 1 to 512 visible ASCII characters, without spaces' };
