// Whether there is tracing at all. Only the standard variables of OpenTelemetry decide; while they name no collector,
// nothing of its SDK is loaded and no port is wrapped.
import type { Tracing } from './traced.ts';

type Environment = { readonly [name: string]: string | undefined };

export const tracingWanted = (env: Environment): boolean => {
  if (env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return false;
  const exporter = env['OTEL_TRACES_EXPORTER'];
  if (exporter) return exporter !== 'none';
  return Boolean(env['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']);
};

export const openTracing = async (env: Environment, version: string): Promise<Tracing | undefined> => {
  if (!tracingWanted(env)) return undefined;
  const { startTracing } = await import('./spans.ts');
  return startTracing(env, version);
};
