// Settings of where the figures of ramps are read: docs/operations/ramps.md.
import type { PrometheusSource } from '#gateway/flags/prometheus.ts';
import { optional, type Setting, type Unusable, type Values } from './setting.ts';

const address = (raw: string): string | Unusable => {
  const wanted = {
    fault: 'give an http or https URL without a password in it, for example https://prometheus.internal:9090',
  };
  if (!URL.canParse(raw)) return wanted;
  const { protocol, username, password } = new URL(raw);
  return /^https?:$/.test(protocol) && username === '' && password === '' ? raw : wanted;
};

const header = (raw: string): string | Unusable =>
  /^[!-~]+ [!-~]+$/.test(raw)
    ? raw
    : { fault: 'give the whole header, for example `Bearer <token>` or `Basic <base64>`' };

export const prometheusSettings = {
  prometheusUrl: optional({
    name: 'PROV_LEDGER_PROMETHEUS_URL',
    description: 'where `ramps collect` reads figures: Prometheus, or what speaks its HTTP API',
    parse: address,
  }),
  prometheusAuthorization: {
    ...optional({
      name: 'PROV_LEDGER_PROMETHEUS_AUTHORIZATION',
      description: 'the header Authorization that it wants',
      parse: header,
    }),
    show: (value) => (value === undefined ? 'none' : '***'),
  } as Setting<string | undefined>,
};

/** `undefined` where none is configured. */
export const prometheusOf = ({
  prometheusUrl: url,
  prometheusAuthorization: authorization,
}: Values<typeof prometheusSettings>): PrometheusSource | undefined =>
  url === undefined ? undefined : { url, authorization };
