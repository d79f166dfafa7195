// Settings of the HTTP service: its addresses, what a request may cost, TLS, and whose tokens are taken besides the
// ledger's own.
import { LIMITS, type Limits } from '#gateway/http/limits.ts';
import { file, hostName, optional, type Setting, type Values, whole } from './setting.ts';

export const httpSettings = {
  operatorsHost: {
    name: 'PROV_LEDGER_OPERATORS_HOST',
    description: "the operators' address, with /metrics in plain HTTP: keep it inside your network",
    parse: hostName,
    fallback: '127.0.0.1',
  } as Setting<string>,
  operatorsPort: {
    name: 'PROV_LEDGER_OPERATORS_PORT',
    description: 'its port; 0 takes a free one',
    parse: whole(0, 65_535),
    fallback: 7177,
  } as Setting<number>,
  httpConnections: {
    name: 'PROV_LEDGER_HTTP_CONNECTIONS',
    description: 'connections at a time; further ones are closed as they come',
    parse: whole(10, 1_000_000),
    fallback: LIMITS.connectionsMax,
  } as Setting<number>,
  headersSeconds: {
    name: 'PROV_LEDGER_HTTP_HEADERS_SECONDS',
    description: 'how long the headers of a request, or a TLS handshake, may take to arrive',
    parse: whole(1, 120),
    fallback: LIMITS.headersTimeoutMs / 1_000,
  } as Setting<number>,
  requestSeconds: {
    name: 'PROV_LEDGER_HTTP_REQUEST_SECONDS',
    description: 'how long a whole request may take to arrive',
    parse: whole(1, 3_600),
    fallback: LIMITS.requestTimeoutMs / 1_000,
  } as Setting<number>,
  idleSeconds: {
    name: 'PROV_LEDGER_HTTP_IDLE_SECONDS',
    description: 'how long an idle connection is kept; more than the proxy in front keeps it',
    parse: whole(1, 3_600),
    fallback: LIMITS.keepAliveMs / 1_000,
  } as Setting<number>,
  tlsCertFile: optional({
    name: 'PROV_LEDGER_TLS_CERT_FILE',
    description: 'PEM: the certificate to serve HTTPS with, and those between it and a root',
    parse: file,
  }),
  tlsKeyFile: optional({
    name: 'PROV_LEDGER_TLS_KEY_FILE',
    description: 'PEM: its private key',
    parse: file,
  }),
  tlsClientCaFile: optional({
    name: 'PROV_LEDGER_TLS_CLIENT_CA_FILE',
    description: 'PEM: whose certificates a client must have; without it none is asked for',
    parse: file,
  }),
};

export type HttpConfiguration = Values<typeof httpSettings>;

export const limitsOf = (of: HttpConfiguration): Partial<Limits> => ({
  connectionsMax: of.httpConnections,
  headersTimeoutMs: of.headersSeconds * 1_000,
  requestTimeoutMs: of.requestSeconds * 1_000,
  keepAliveMs: of.idleSeconds * 1_000,
});
