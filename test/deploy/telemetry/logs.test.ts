import { expect } from 'chai';
import type { LogLevel } from '#deploy/configuration.ts';
import { errorFields, logTo } from '#deploy/telemetry/logs.ts';

const MARK = 'hunter2';

const logged = (
  most: LogLevel,
  use: (log: ReturnType<typeof logTo>) => void,
): readonly Record<string, unknown>[] => {
  const lines: string[] = [];
  use(logTo({ write: (line) => lines.push(line) }, most));
  return lines.map((line) => JSON.parse(line));
};

describe('deploy/telemetry/logs', () => {
  it('writes one JSON object a line, with a time and what it is about', () => {
    const [line] = logged('info', (log) => log('info', 'recorded', { tenant: 'acme', seq: 7, hash: 'ab' }));
    expect(line).to.deep.include({ level: 'info', msg: 'recorded', tenant: 'acme', seq: 7, hash: 'ab' });
    expect(String(line?.['time'])).to.match(/^\d{4}-\d\d-\d\dT.*Z$/);
  });

  it('writes what its level asks for, and nothing less urgent', () => {
    const levels = ['error', 'warn', 'info', 'debug'] as const;
    const lines = logged('warn', (log) => levels.forEach((level) => log(level, level)));
    expect(lines.map(({ msg }) => msg)).to.deep.equal(['error', 'warn']);
  });

  it('writes text at a terminal, a line an event, and nothing that a terminal would obey', () => {
    const lines: string[] = [];
    const terminal = { write: (line: string) => lines.push(line), isTTY: true };
    const use = (format: 'auto' | 'json' | 'text') =>
      logTo(terminal, 'info', format)('warn', 'the \u001b[31mport\nis taken', { port: 7077, token: MARK });
    use('auto');
    use('text');
    use('json');
    expect(lines[0]).to.match(
      /^\d\d:\d\d:\d\d {2}warn {3}the \\u001b\[31mport\\u000ais taken {2}port=7077 {2}token=\*\*\*\n$/,
    );
    expect(lines[1]).to.match(/^\d\d:\d\d:\d\d {2}warn/);
    expect(JSON.parse(lines[2] ?? '')).to.include({ level: 'warn', port: 7077 });
  });

  it('holds no secret, wherever it was put', () => {
    const lines = logged('debug', (log) => {
      log(
        'info',
        `at postgresql://u:${MARK}@db/x?sslpassword=${MARK} with Bearer ${MARK} as plt_acme.id.${MARK}`,
      );
      log('info', 'x', {
        token: MARK,
        url: `http://u:${MARK}@h/`,
        request: { authorization: MARK, inputs: { a: MARK } },
      });
      const cause = new TypeError(`invalid input syntax: "${MARK}"`);
      log(
        'error',
        'failed',
        errorFields(new Error(`Unexpected token in JSON: "a "${MARK}" b"\n'${MARK}'`, { cause })),
      );
    });
    expect(lines).to.have.length(3);
    const text = JSON.stringify(lines);
    expect(text).to.not.contain(MARK);
    expect(text).to.contain('Unexpected token in JSON').and.contain('TypeError');
  });
});
