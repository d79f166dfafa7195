// TLS by certificates of one's own. Who shows none where one is asked for ends in the handshake: nothing of HTTP is
// open to them.
import type { Server } from 'node:http';
import type { ServerOptions, Server as TlsServer } from 'node:https';

/** PEM texts. */
export interface TlsMaterial {
  /** The server's own certificate first, then those between it and a root. */
  readonly certificate: string;
  readonly key: string;
  /** When given, a client needs a certificate that one of these has issued. */
  readonly clientAuthorities?: string;
}

/** 1.0 and 1.1 are not to be used any more (RFC 8996). */
const contextOf = ({ certificate, key, clientAuthorities }: TlsMaterial) =>
  ({
    cert: certificate,
    key,
    minVersion: 'TLSv1.2',
    ...(clientAuthorities !== undefined && { ca: clientAuthorities }),
  }) as const;

/** Like the headers, a handshake must be through in time; Node would wait for two minutes. */
export const tlsOptions = (material: TlsMaterial, handshakeTimeoutMs: number): ServerOptions => ({
  ...contextOf(material),
  handshakeTimeout: handshakeTimeoutMs,
  requestCert: material.clientAuthorities !== undefined,
  rejectUnauthorized: material.clientAuthorities !== undefined,
});

export const isEncrypted = (server: Server): server is TlsServer => 'setSecureContext' in server;

export const renewed = (server: Server, material: TlsMaterial): void => {
  if (!isEncrypted(server))
    throw new TypeError('the server speaks plain HTTP: it has no certificate to renew');
  server.setSecureContext(contextOf(material));
};
