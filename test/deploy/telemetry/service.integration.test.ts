// A whole service with everything switched on: what it says in figures, spans and lines, and what it never says.
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { readConfiguration } from '#deploy/configuration.ts';
import { followKafka } from '#deploy/processes/kafka/worker.ts';
import { messageFigures } from '#deploy/telemetry/message-figures.ts';
import { relayInstruments } from '#deploy/telemetry/relay-instruments.ts';
import { gatewayMetrics } from '#gateway/http/metrics.ts';
import { PROJECT } from '#test/docs/pages.ts';
import { dataFolder, start } from '../processes/program.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const MARK = 'marked-secret-7c1';

interface Span {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly { readonly key: string }[];
  readonly links?: readonly { readonly spanId: string }[];
}

const collector = async () => {
  const spans: Span[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      for (const { scopeSpans } of JSON.parse(Buffer.concat(parts).toString()).resourceSpans)
        for (const scope of scopeSpans) spans.push(...scope.spans);
      response.setHeader('content-type', 'application/json').end('{}');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { spans, server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
};

const NOBODY = { PROV_LEDGER_KAFKA_BROKERS: '127.0.0.1:1', PROV_LEDGER_REGISTRY_URL: 'http://127.0.0.1:1' };

/** What ingest, relay and a worker that follows Kafka show; their own tests start them. */
const pageOfKafkaPrograms = async (): Promise<string> => {
  const read = readConfiguration(NOBODY, () => tmpdir());
  if (!read.ok) throw new Error(JSON.stringify(read.faults));
  const { configuration } = read;
  const { figures } = followKafka({ configuration, ledger: { store: {} as never }, log: () => undefined });
  const none = { flow: () => [], letters: () => [], lag: () => 0, partitions: () => 0 };
  const measures = [...messageFigures(none), relayInstruments({ lag: () => undefined }), ...figures];
  return (await gatewayMetrics(measures, () => 0).page()).body;
};

describe('deploy/telemetry, in a service', function () {
  this.timeout(60_000);
  const dataDir = dataFolder();
  let page = '';
  let plain = '';
  let output = '';
  let token = '';
  let spans: readonly Span[] = [];

  before(async () => {
    const { spans: collected, server, url: endpoint } = await collector();
    const program = start('start.ts', [], {
      env: {
        PROV_LEDGER_DATA_DIR: dataDir,
        PROV_LEDGER_HTTP_PORT: '0',
        PROV_LEDGER_LOG_LEVEL: 'debug',
        PROV_LEDGER_HEADS_FILE: join(dirname(dataDir), 'heads.json'),
        OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      },
    });
    try {
      const [, url = ''] = await program.says(/listening on\s+(http:\S+)/);
      const [, operators = ''] = await program.says(/figures at\s+(http:\S+)/);
      [, token = ''] = await program.says(/token\s+(plt_demo\.\S+)/);
      const post = (body: string, headers: Record<string, string> = {}) =>
        fetch(`${url}/receipts?x=${MARK}`, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
          body,
        });
      const receipt = { action: 'db.export', actor: MARK, decision: 'allow', inputs: { password: MARK } };
      const traceparent = `00-${TRACE}-00f067aa0ba902b7-01`;
      expect((await post(JSON.stringify(receipt), { traceparent })).status).to.equal(201);
      for (const bad of [`{"a": ${MARK}}`, `{"inputs":"${MARK}"}`, `{"a":"${MARK}","a":1}`]) await post(bad);
      await post('{}', { authorization: `Bearer plt_demo.${MARK}.${MARK}` });
      await fetch(`${url}/${MARK}`);
      // The read models take it, and their lag is asked again.
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      page = await (await fetch(operators, { headers: { accept: 'application/openmetrics-text' } })).text();
      plain = await (await fetch(operators)).text();
    } finally {
      program.child.kill('SIGTERM');
    }
    const ended = await program.ended;
    output = ended.stderr;
    spans = collected;
    server.close();
  });
  after(() => rmSync(dirname(dataDir), { recursive: true, force: true }));

  it('counts facts by tenant and type, and shows the trace of a write', () => {
    expect(page).to.match(/ledger_events_total\{tenant="demo",type="receipts.ReceiptRecorded"\} 1\n/);
    expect(page).to.match(new RegExp(`ledger_write_latency_seconds_bucket.* # \\{trace_id="${TRACE}"\\}`));
    expect(page)
      .to.contain('ledger_commit_batch_size_count 1\n')
      .and.contain('ledger_append_queue_depth 0\n');
  });

  it('exports every metric that the dashboard and the alerts name', async () => {
    const names = new Set(
      ['deploy/dashboards/prov-ledger.json', 'deploy/alerts/prov-ledger.yml'].flatMap(
        (path) =>
          readFileSync(join(PROJECT, path), 'utf8').match(/\b(?:ledger|process|nodejs)_[a-z0-9_]+/g) ?? [],
      ),
    );
    expect(names.size).to.be.greaterThan(12);
    const ofKafka = await pageOfKafkaPrograms();
    for (const name of names) {
      const its = /^ledger_(?:messages|letters|relay|worker)/.test(name) ? ofKafka : plain;
      // What was not sampled yet is declared, and has no value.
      expect(its, name).to.match(new RegExp(`^(?:# TYPE )?${name}[ {]`, 'm'));
    }
  });

  it('links request, append, commit and projection', () => {
    const named = (name: string) => spans.filter((span) => span.name === name);
    const request = named('POST /receipts').find(({ traceId }) => traceId === TRACE);
    const append = named('ledger append').find(({ traceId }) => traceId === TRACE);
    expect(request?.parentSpanId).to.equal('00f067aa0ba902b7');
    expect(append?.parentSpanId).to.equal(request?.spanId);
    const linked = (name: string) =>
      named(name).find(({ links = [] }) => links.some(({ spanId }) => spanId === append?.spanId));
    const commit = linked('ledger commit');
    expect(commit?.attributes.map(({ key }) => key)).to.include('ledger.kid');
    expect(append?.links?.map(({ spanId }) => spanId)).to.deep.equal([commit?.spanId]);
    expect(linked('ledger project')).to.not.equal(undefined);
  });

  it('logs places and hashes with the request, and no secret, token or receipt input', () => {
    const lines = output
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const recorded = lines.find(({ msg }) => msg === 'recorded');
    expect(recorded)
      .to.include({ tenant: 'demo', type: 'receipts.ReceiptRecorded' })
      .and.have.property('hash');
    const answered = lines.filter(({ msg }) => msg === 'answered');
    expect(answered.length).to.be.at.least(6);
    for (const line of answered) expect(line).to.have.property('requestId');
    expect(lines.map(({ msg }) => msg)).to.include('drained');
    for (const text of [output, JSON.stringify(spans)]) {
      expect(text).to.not.contain(MARK);
      expect(text).to.not.contain(token);
    }
  });
});
