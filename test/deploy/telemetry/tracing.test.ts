import { spawnSync } from 'node:child_process';
import { expect } from 'chai';
import { tracingWanted } from '#deploy/telemetry/tracing.ts';
import { PROJECT } from '#test/docs/pages.ts';

const AT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' };

// Says whether any module of OpenTelemetry was asked for while tracing was opened.
const PROGRAM = `
  import { registerHooks } from 'node:module';
let asked = false;
registerHooks({ resolve: (name, context, next) => { asked ||= name.startsWith('@opentelemetry/'); return next(name, context); } });
const { openTracing } = await import('#deploy/telemetry/tracing.ts');
const tracing = await openTracing(process.env, '0.0.0');
console.log(asked, tracing !== undefined);
process.exit(0);`;

const opened = (env: Record<string, string>): string =>
  spawnSync(process.execPath, ['--input-type=module', '-e', PROGRAM], {
    cwd: PROJECT,
    env,
    encoding: 'utf8',
  }).stdout.trim();

describe('deploy/telemetry/tracing', () => {
  it('is on when a collector is named, and off when told so', () => {
    expect(tracingWanted({})).to.equal(false);
    expect(tracingWanted(AT)).to.equal(true);
    expect(tracingWanted({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:1' })).to.equal(true);
    expect(tracingWanted({ ...AT, OTEL_SDK_DISABLED: 'true' })).to.equal(false);
    expect(tracingWanted({ ...AT, OTEL_TRACES_EXPORTER: 'none' })).to.equal(false);
  });

  it('loads nothing of OpenTelemetry while it is off', () => {
    expect(opened({})).to.equal('false false');
    expect(opened(AT)).to.equal('true true');
  });
});
