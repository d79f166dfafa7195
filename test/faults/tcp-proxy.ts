// A network that fails on demand: stands between a service and its PostgreSQL.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { freePort } from './site.ts';

/**
 * `open`: bytes pass. `one-way`: what the server says is lost on its way. `dark`: everything is lost, without a word, as
 * behind a firewall that forgot the connection. `refusing`: nobody listens.
 */
export type Weather = 'open' | 'one-way' | 'dark' | 'refusing';

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** From now on, also for connections that are there. One that was there in the dark, or lost bytes, stays dark. */
  readonly turn: (weather: Weather) => void;
  /** Closes every connection; returns how many there were. */
  readonly cut: () => number;
}

export const tcpProxy = async (to: { readonly port: number }): Promise<TcpProxy> => {
  let weather: Weather = 'open';
  const sockets = new Set<Socket>();
  const forgotten = new WeakSet<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  };
  const carry = (from: Socket, into: Socket, lost: (now: Weather) => boolean): void => {
    from.on('data', (bytes) => {
      if (lost(weather)) forgotten.add(from);
      if (!forgotten.has(from)) into.write(bytes);
    });
    from.on('close', () => into.destroy());
  };
  const server = createServer((client) => {
    if (weather === 'refusing') return void client.destroy();
    const upstream = connect(to.port, '127.0.0.1');
    for (const socket of [client, upstream]) keep(socket);
    carry(client, upstream, (now) => now === 'dark');
    carry(upstream, client, (now) => now === 'dark' || now === 'one-way');
  });
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): number => {
    const count = sockets.size / 2;
    for (const socket of sockets) socket.destroy();
    return count;
  };
  return {
    port,
    cut,
    turn: (next) => {
      weather = next;
      if (next === 'refusing') cut();
      if (next === 'dark') for (const socket of sockets) forgotten.add(socket);
    },
    [Symbol.asyncDispose]: async () => {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
};

/** The same database, through the proxy. */
export const through = (proxy: TcpProxy, databaseUrl: string): string => {
  const url = new URL(databaseUrl);
  url.port = String(proxy.port);
  return url.href;
};
