// A server and where it listens, as the rest of the program holds it.
import type { AddressInfo } from 'node:net';
import { isEncrypted, renewed, type TlsMaterial } from './tls.ts';
import type { MountedRoute, Web } from './web.ts';

export interface Listener {
  /** Takes requests; returns the base URL. Port 0 takes a free one. */
  listen(at: { readonly host: string; readonly port: number }): Promise<string>;
  /** The base URL; throws before `listen`. */
  url(): string;
  /** One request without a socket, for tests. */
  inject(request: InjectedRequest): Promise<InjectedAnswer>;
  readonly routes: readonly MountedRoute[];
  /** For connections from now on; throws when the material does not fit together, and keeps the old. */
  renewTls(material: TlsMaterial): void;
}

export interface InjectedRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';
  readonly path: string;
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string | Buffer;
}

export interface InjectedAnswer {
  readonly status: number;
  readonly headers: { readonly [name: string]: unknown };
  readonly body: string;
}

export const listener = ({ app, mounted }: Web): Listener => ({
  // The framework would make a second server for the other address of that name, without what is set on the first.
  listen: ({ host, port }) => app.listen({ host: host === 'localhost' ? '127.0.0.1' : host, port }),
  url: () => baseUrl(app.server.address(), isEncrypted(app.server) ? 'https' : 'http'),
  routes: mounted,
  inject: (request) => injected(app, request),
  renewTls: (material) => renewed(app.server, material),
});

const injected = async (
  app: Web['app'],
  { method, path, headers = {}, body }: InjectedRequest,
): Promise<InjectedAnswer> => {
  const answer = await app.inject({
    method,
    url: path,
    headers: { ...headers },
    ...(body !== undefined && { payload: body }),
  });
  return { status: answer.statusCode, headers: answer.headers, body: answer.body };
};

const baseUrl = (address: AddressInfo | string | null, scheme: string): string => {
  if (address === null || typeof address === 'string')
    throw new Error('the gateway does not listen: call listen first');
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `${scheme}://${host}:${address.port}`;
};
