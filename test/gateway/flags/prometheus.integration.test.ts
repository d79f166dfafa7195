// Figures of ramps from a Prometheus: answers as its API documents them, and a real one where its program is at hand.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { type PrometheusSource, prometheus } from '#gateway/flags/prometheus.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

const serving = async (answer: Answer) => {
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      if (!server.listening) return;
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
};

const { signal } = new AbortController();
const ask = (source: PrometheusSource, query = 'up', withinMs = 10_000) =>
  prometheus(source)({ query, at: Date.now(), signal, withinMs });
const fault = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    (value) => `no fault: ${String(value)}`,
    (error: Error) => `${error.name}: ${error.message}`,
  );

const sample = (value: string) => ({ metric: {}, value: [1_763_719_200.5, value] });
const success = (resultType: string, result: unknown, more = {}) => ({
  status: 'success',
  data: { resultType, result },
  ...more,
});

describe('gateway/flags/prometheus', () => {
  const said = async (status: number, document: unknown): Promise<string | undefined> => {
    await using there = await serving((_, response) =>
      response.writeHead(status).end(typeof document === 'string' ? document : JSON.stringify(document)),
    );
    return await ask(there);
  };

  it('hands on what one series says, as it says it', async () => {
    for (const value of ['2000', '1999.5', 'NaN', '+Inf', '1e+06'])
      expect(await said(200, success('vector', [sample(value)]))).to.equal(value);
    expect(await said(200, success('scalar', [1_763_719_200, '3']))).to.equal('3');
    expect(await said(200, success('vector', [])), 'empty or stale').to.equal(undefined);
  });

  it('takes nothing for a figure that is none', async () => {
    for (const [status, document, why] of [
      [200, success('vector', [sample('1'), sample('2')]), /comes to 2 series: sum them up/],
      [200, success('matrix', []), /comes to a matrix/],
      [200, success('vector', [{ metric: {} }]), /comes to no sample/],
      [
        200,
        success('vector', [sample('1')], { warnings: ['a store is away'] }),
        /in part only: a store is away/,
      ],
      [
        400,
        { status: 'error', errorType: 'bad_data', error: 'parse error' },
        /answered 400: bad_data: parse error/,
      ],
      [503, { status: 'error', errorType: 'timeout', error: 'query timed out' }, /answered 503: timeout/],
      [502, '<html>', /is no Prometheus: 502/],
      [200, 'null', /is no Prometheus/],
    ] as const)
      expect(await fault(said(status, document))).to.match(why);
  });

  it('asks for the moment, under its header, and follows no redirect with it', async () => {
    const heard: string[] = [];
    await using there = await serving(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      const form = new URLSearchParams(body);
      heard.push(
        `${request.method} ${request.url} ${request.headers.authorization} ${form.get('query')} ${form.get('time')}`,
      );
      response.end(JSON.stringify(success('scalar', [0, '1'])));
    });
    const source = { url: `${there.url}/prom/`, authorization: 'Bearer secret' };
    await prometheus(source)({ query: 'sum(x[60s])', at: 1_763_719_200_500, signal });
    expect(heard).to.deep.equal(['POST /prom/api/v1/query Bearer secret sum(x[60s]) 1763719200.5']);
    await using elsewhere = await serving((_, response) =>
      response.writeHead(307, { location: `${there.url}/stolen` }).end(),
    );
    expect(await fault(ask({ url: elsewhere.url, authorization: 'Bearer secret' }))).to.match(
      /cannot be reached/,
    );
    expect(heard).to.have.length(1);
  });

  it('waits no longer than it was told, and says who is not there', async () => {
    await using silent = await serving(() => undefined);
    expect(await fault(ask(silent, 'up', 100))).to.match(/did not answer within 100 ms/);
    expect(await fault(ask({ url: 'http://127.0.0.1:1' }))).to.match(/cannot be reached/);
  });

  it('reads a real Prometheus: counters, a series that ended, and one that never was', async function () {
    this.timeout(120_000);
    const program = [
      ...(process.env['PATH'] ?? '').split(delimiter),
      join(homedir(), '.cache/prov-ledger-tools/prometheus/usr/bin'),
    ]
      .map((folder) => join(folder, 'prometheus'))
      .find((path) => existsSync(path));
    if (program === undefined) {
      if (this.test) this.test.title += ' (no prometheus here)';
      return this.skip();
    }
    let requests = 0;
    await using scraped = await serving((_, response) => {
      requests += 100;
      response.end(
        `# TYPE requests counter\nrequests{part="a"} ${requests}\nrequests{part="b"} 1\nnone NaN\n`,
      );
    });
    await using free = await serving(() => undefined);
    const { port } = free;
    await free[Symbol.asyncDispose]();
    const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-prometheus-'));
    writeFileSync(
      join(folder, 'prometheus.yml'),
      `global: { scrape_interval: 1s }\nscrape_configs:\n  - job_name: test\n    static_configs: [{ targets: ["127.0.0.1:${scraped.port}"] }]\n`,
    );
    const server = spawn(
      program,
      [
        `--config.file=${join(folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: 'ignore' },
    );
    try {
      const real = { url: `http://127.0.0.1:${port}` };
      const until = async (query: string, holds: (value: string | undefined) => boolean): Promise<void> => {
        for (const end = performance.now() + 60_000; performance.now() < end; await pause(200))
          if (holds(await ask(real, query).catch(() => undefined))) return;
        expect.fail(`never: ${query}`);
      };
      await until('sum(increase(requests[30s]))', (value) => Number(value) >= 100);
      expect(await ask(real, 'sum(none)')).to.equal('NaN');
      expect(await ask(real, 'sum(nobody_counts_this)')).to.equal(undefined);
      expect(await fault(ask(real, 'requests'))).to.match(/comes to 2 series/);
      expect(await fault(ask(real, 'sum('))).to.match(/answered 400: bad_data/);
      expect(await fault(ask(real, 'requests[1m]'))).to.match(/comes to a matrix/);
      // What is gone from the target is stale at the next scrape.
      await scraped[Symbol.asyncDispose]();
      await until('sum(requests)', (value) => value === undefined);
    } finally {
      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    }
  });
});
