import { expect } from 'chai';
import { Counter, Registry } from 'prom-client';
import { gatewayMetrics } from '#gateway/http/metrics.ts';
import type { AppendRequest, AppendResult } from '#streams/stream.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const ACCEPTED = 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1';

const appended = (traceparent?: string) => ({ drafts: [{ traceparent }] }) as unknown as AppendRequest;

describe('gateway/http/metrics', () => {
  const page = async (accept?: string) => {
    const metrics = gatewayMetrics([], () => 0);
    const append = metrics.timed(async () => ({ kind: 'appended', facts: [] }) as AppendResult);
    await append(appended(`00-${TRACE}-00f067aa0ba902b7-01`));
    await append(appended());
    metrics.answered({ method: 'GET', route: '/healthz', status: 200, seconds: 0.001 });
    return await metrics.page(accept);
  };

  it('speaks OpenMetrics to a Prometheus, with the trace of a write as exemplar', async () => {
    const { type, body } = await page(ACCEPTED);
    expect(type).to.equal(Registry.OPENMETRICS_CONTENT_TYPE);
    expect(body).to.match(
      new RegExp(
        `^ledger_write_latency_seconds_bucket\\{le="[^"]+"\\} \\d # \\{trace_id="${TRACE}"\\} \\S+ \\S+$`,
        'm',
      ),
    );
    expect(body)
      .to.contain('# TYPE ledger_http_requests counter\n')
      .and.contain('ledger_http_requests_total{');
    expect(body).to.match(/# EOF\n$/);
  });

  it('speaks the text form to all others, also after an OpenMetrics page', async () => {
    const metrics = gatewayMetrics([], () => 0);
    await metrics.timed(async () => ({ kind: 'appended', facts: [] }) as AppendResult)(
      appended(`00-${TRACE}-00f067aa0ba902b7-01`),
    );
    await metrics.page(ACCEPTED);
    for (const accept of [undefined, '*/*', 'text/plain', 'application/openmetrics-text;q=0, text/plain']) {
      const { type, body } = await metrics.page(accept);
      expect(type).to.equal(Registry.PROMETHEUS_CONTENT_TYPE);
      expect(body).to.contain(
        '# TYPE ledger_appends_total counter\nledger_appends_total{outcome="appended"} 1\n',
      );
      expect(body).to.not.match(/EOF|trace_id| # /);
    }
  });

  it('counts an append that throws as failed, and times none that stored nothing', async () => {
    const metrics = gatewayMetrics([], () => 0);
    const failing = metrics.timed(async () => Promise.reject(new Error('away')));
    expect(await failing(appended()).catch((error: Error) => error.message)).to.equal('away');
    const { body } = await metrics.page();
    expect(body).to.contain('ledger_appends_total{outcome="failed"} 1');
    expect(body).to.contain('ledger_write_latency_seconds_count 0');
  });

  it('shows the instruments that others keep', async () => {
    const counter = new Counter({ name: 'ledger_others_total', help: 'Of others.', registers: [] });
    counter.inc(3);
    const metrics = gatewayMetrics([{ register: (registry) => registry.registerMetric(counter) }], () => 0);
    expect((await metrics.page()).body).to.contain('ledger_others_total 3');
  });
});
