// A verified report as one page: no script, nothing fetched, every text escaped.
import type { ReplayStatement } from '../report.ts';

export interface PageOptions {
  readonly statement: ReplayStatement;
  /** The key whose signature was verified. */
  readonly kid: string;
  /** An SVG document. */
  readonly chart: string;
}

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;color:#1a202c;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #e2e8f0;overflow-wrap:anywhere}
th{font-weight:600;white-space:nowrap}td.n{text-align:right;white-space:nowrap}code{font-size:.85em}
.sound{color:#276749}.not{color:#c53030}svg{max-width:100%;height:auto}`;

export const pageOf = ({ statement, kid, chart }: PageOptions): string => {
  const { subject, predicate } = statement;
  const { verdict, compared, finished_at, differences, fault, halts, outcome } = predicate;
  const [{ name, digest }] = subject;
  const sound = verdict === 'sound';
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Replay of ${escaped(name)}</title><style>${STYLE}</style></head><body>
<h1>Replay of ${escaped(name)}: <span class="${sound ? 'sound' : 'not'}">${escaped(verdict)}${sound && compared ? ', as expected' : ''}</span></h1>
${table([
  ['History', code(digest.sha256)],
  ['Finished', escaped(finished_at)],
  ['Signed by', code(kid)],
  ...(fault ? [['Fault', escaped(fault.message)] as const] : []),
  ...differences.map((line) => ['Differs', escaped(line)] as const),
  ...halts.map(
    ({ projection, tenant, seq, message }) =>
      ['Halted', escaped(`${projection} for ${tenant} at fact ${seq}: ${message}`)] as const,
  ),
])}
<h2>What it came to</h2>
${table([
  ['Facts', figure(outcome.facts)],
  ['Tenants', figure(outcome.chains.length)],
  ['Repetitions, conflicts', `${figure(outcome.repeats)}, ${figure(outcome.conflicts)}`],
  ...outcome.models.map(
    ({ projection, version, rows, digest: rowsDigest }) =>
      [`${escaped(projection)} v${version}`, `${figure(rows)} rows, ${code(rowsDigest)}`] as const,
  ),
])}
<h2>How fast</h2>
${measuredTable(predicate.measured)}
${chart}
<h2>What ran</h2>
${table(ranRows(predicate))}
</body></html>
`;
};

type Pair = readonly [name: string, html: string];
type Predicate = ReplayStatement['predicate'];

const measuredTable = (measured: Predicate['measured']): string => {
  const { seconds, factsPerSecond, chunkMs, cpuSeconds, peakMiB } = measured;
  const ms = [chunkMs.p50, chunkMs.p95, chunkMs.p99, chunkMs.max].map((each) => each.toFixed(1)).join(', ');
  return table([
    ['Time', `${seconds.toFixed(1)} s`],
    ['Rate', `${figure(factsPerSecond)} facts/s`],
    ['A chunk, p50, p95, p99, most', `${ms} ms`],
    ['CPU, user and system', `${cpuSeconds.user.toFixed(1)} s, ${cpuSeconds.system.toFixed(1)} s`],
    ['Memory at most', `${figure(peakMiB)} MiB`],
  ]);
};

const ranRows = ({ program, machine, settings, source }: Predicate): readonly Pair[] => [
  ['Program', `${escaped(program.version)}, commit ${code(program.commit ?? 'unknown')}`],
  ['Source', code(program.source)],
  ['Lockfile', code(program.lockfile)],
  ['From', escaped(`${source.kind}, through ${source.store}`)],
  ['Settings', `${settings.workers} threads, batches of ${figure(settings.batch_size)}`],
  ['Machine', escaped(`${machine.cores} x ${machine.cpu}, ${machine.memoryMiB} MiB, ${machine.platform}`)],
  ['Runtime', escaped(`Node ${machine.node}, V8 ${machine.v8}, OpenSSL ${machine.openssl}`)],
];

const table = (rows: readonly Pair[]): string =>
  `<table>${rows.map(([name, html]) => `<tr><th scope="row">${name}</th><td>${html}</td></tr>`).join('\n')}</table>`;

const code = (text: string): string => `<code>${escaped(text)}</code>`;

/** Thousands apart; whole. */
const figure = (value: number): string => String(Math.round(value)).replaceAll(/\B(?=(\d{3})+$)/g, '\u202f');

const ESCAPES: { readonly [character: string]: string } = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escaped = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (character) => ESCAPES[character] as string);
