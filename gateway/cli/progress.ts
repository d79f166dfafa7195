// Progress of long work: one line that is painted over on a terminal, a line every few seconds elsewhere.
import { figure } from './output.ts';
import type { Terminal } from './world.ts';

export interface ProgressState {
  /** Pieces of work done, for the rate. */
  readonly done: number;
  /** Share of the whole from 0 to 1; absent when the whole is not known. */
  readonly share?: number | undefined;
  readonly note?: string | undefined;
}

export interface Progress {
  /** Clears the line; prints the last state where there is no terminal. */
  stop(): void;
}

export interface ProgressOptions {
  readonly terminal: Terminal;
  /** `facts`, `lines`. */
  readonly unit: string;
  readonly verb: string;
  readonly state: () => ProgressState;
  /** Shown at all? False for --quiet. */
  readonly enabled?: boolean;
}

const PAINT_MS = 200;
const PRINT_MS = 3_000;

export const startProgress = ({ terminal, unit, verb, state, enabled = true }: ProgressOptions): Progress => {
  if (!enabled) return { stop: () => undefined };
  const startedAt = performance.now();
  const painting = terminal.isTTY === true;
  const text = (): string => describe({ unit, verb }, state(), (performance.now() - startedAt) / 1000);
  const show = (): void => {
    if (painting) terminal.write(`\r\u001b[2K${text().slice(0, (terminal.columns ?? 80) - 1)}`);
    else terminal.write(`${text()}\n`);
  };
  const timer = setInterval(show, painting ? PAINT_MS : PRINT_MS);
  return {
    stop: () => {
      clearInterval(timer);
      if (painting) terminal.write('\r\u001b[2K');
    },
  };
};

/** `verified 12,000 of ~48,000 facts (25 %), 60,000/s, 1 s left` */
export const describe = (
  { unit, verb }: { readonly unit: string; readonly verb: string },
  { done, share, note }: ProgressState,
  seconds: number,
): string => {
  const rate = seconds > 0 ? done / seconds : 0;
  const parts = [`${verb} ${figure(done)} ${unit}`, `${figure(rate)}/s`];
  if (share !== undefined && share > 0) {
    parts.splice(1, 0, `${Math.floor(Math.min(share, 1) * 100)} %`);
    parts.push(`${duration((seconds * (1 - Math.min(share, 1))) / share)} left`);
  }
  return [...parts, ...(note ? [note] : [])].join(', ');
};

export const duration = (seconds: number): string => {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5_400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3_600).toFixed(1)} h`;
};
