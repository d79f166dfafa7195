// The purity guard: while domain code runs (a fold, its keys, an upcaster), whatever would make a replay differ from one
// machine or one day to the next throws, naming the file and the line. Clock, chance, timers, network, environment, and
// everything that asks for the locale or the time zone. Machinery around the folds goes on as ever.

/** Domain code reached for something that is not in the fact. The replay stops: its result would mean nothing. */
export class ImpureAccess extends Error {
  override readonly name = 'ImpureAccess';
  constructor(what: string, where: string) {
    super(`${what} in domain code, at ${where}: it must come out of the fact`);
  }
}

let inDomain = 0;

/** Runs domain code under guard. */
export const guarded = <T>(work: () => T): T => {
  inDomain += 1;
  try {
    return work();
  } finally {
    inDomain -= 1;
  }
};

const refuse = (what: string): void => {
  if (inDomain === 0) return;
  const depth = inDomain;
  // Building the stack must not itself be refused.
  inDomain = 0;
  try {
    throw new ImpureAccess(what, callerOf(new Error().stack ?? ''));
  } finally {
    inDomain = depth;
  }
};

const HERE = import.meta.url;

/** The first frame outside this file. */
const callerOf = (stack: string): string => {
  for (const frame of stack.split('\n').slice(1)) {
    const place = /(?:\(|at )([^()\s]+:\d+:\d+)\)?$/.exec(frame.trim())?.[1];
    if (place && !place.startsWith(HERE) && !place.startsWith('node:')) return place.replace('file://', '');
  }
  return 'a place that the stack does not show';
};

type Host = { [name: string]: unknown };

interface Patch {
  readonly host: object;
  readonly prefix: string;
  readonly names: readonly string[];
}

const LOCAL_DATE = [
  ...['FullYear', 'Month', 'Date', 'Day', 'Hours', 'Minutes', 'Seconds', 'Milliseconds'].map(
    (part) => `get${part}`,
  ),
  ...['FullYear', 'Month', 'Date', 'Hours', 'Minutes', 'Seconds', 'Milliseconds'].map((part) => `set${part}`),
  'getTimezoneOffset',
  'toString',
  'toDateString',
  'toTimeString',
  'toLocaleString',
  'toLocaleDateString',
  'toLocaleTimeString',
];

const PATCHES: readonly Patch[] = [
  { host: Math, prefix: 'Math.', names: ['random'] },
  { host: performance, prefix: 'performance.', names: ['now'] },
  { host: globalThis.crypto, prefix: 'crypto.', names: ['randomUUID', 'getRandomValues'] },
  {
    host: globalThis,
    prefix: '',
    names: ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'fetch'],
  },
  { host: process, prefix: 'process.', names: ['hrtime', 'cwd', 'uptime', 'memoryUsage', 'nextTick'] },
  {
    host: String.prototype,
    prefix: 'String.',
    names: ['localeCompare', 'toLocaleLowerCase', 'toLocaleUpperCase'],
  },
  { host: Number.prototype, prefix: 'Number.', names: ['toLocaleString'] },
  { host: BigInt.prototype, prefix: 'BigInt.', names: ['toLocaleString'] },
  { host: Array.prototype, prefix: 'Array.', names: ['toLocaleString'] },
  { host: Date.prototype, prefix: 'Date.', names: LOCAL_DATE },
  {
    host: Intl,
    prefix: 'Intl.',
    names: [
      'Collator',
      'DateTimeFormat',
      'ListFormat',
      'NumberFormat',
      'PluralRules',
      'RelativeTimeFormat',
      'Segmenter',
    ],
  },
];

let installed = false;

/** Puts the guard in place, for this thread and for good: outside domain code it lets everything pass. */
export const installPurityGuard = (): void => {
  if (installed) return;
  installed = true;
  for (const { host, prefix, names } of PATCHES)
    for (const name of names) guardFunction(host as Host, name, `${prefix}${name}`);
  guardDate();
  const { env } = process;
  Object.defineProperty(process, 'env', {
    configurable: true,
    get: () => {
      refuse('process.env');
      return env;
    },
  });
};

const guardFunction = (host: Host, name: string, what: string): void => {
  const real = host[name];
  if (typeof real !== 'function') return;
  const proxy = new Proxy(real, {
    apply: (target, self, args: unknown[]) => {
      refuse(what);
      return Reflect.apply(target, self, args) as unknown;
    },
    construct: (target, args: unknown[], as) => {
      refuse(what);
      return Reflect.construct(target, args, as) as object;
    },
  });
  Object.defineProperty(host, name, { value: proxy, writable: true, configurable: true });
};

/** `new Date()` and `new Date(2026, 0, 1)` ask the clock and the zone; a number or a text does not. */
const guardDate = (): void => {
  const Real = Date;
  guardFunction(Real as unknown as Host, 'now', 'Date.now');
  globalThis.Date = new Proxy(Real, {
    apply: (target, self, args: unknown[]) => {
      refuse('Date()');
      return Reflect.apply(target, self, args) as string;
    },
    construct: (target, args: unknown[], as) => {
      if (args.length !== 1) refuse(args.length === 0 ? 'new Date()' : 'new Date(year, month, ...)');
      return Reflect.construct(target, args, as) as Date;
    },
  });
  Real.prototype.constructor = globalThis.Date;
};
