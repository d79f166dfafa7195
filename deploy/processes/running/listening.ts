// Opens a listener where the configuration says, or near it when nobody asked for that very port.
import { CliError } from '#gateway/cli/exit.ts';
import type { ServeOptions } from '#gateway/cli/world.ts';
import type { Listener } from '#gateway/http/listener.ts';
import type { Gateway } from '#gateway/http/server.ts';
import type { Configuration } from '../../configuration.ts';
import type { Log } from '../../telemetry/logs.ts';

export interface Listening {
  readonly configuration: Configuration;
  readonly options: ServeOptions;
  readonly log: Log;
}

interface Address {
  readonly host: string;
  readonly port: number;
  /** No other port will do. */
  readonly asked: boolean;
  /** The setting to change. */
  readonly setting: string;
}

const operatorsAddress = (
  { operatorsHost, operatorsPort, operatorsPortGiven }: Configuration,
  anyPort: boolean,
): Address => ({
  host: operatorsHost,
  port: anyPort && !operatorsPortGiven ? 0 : operatorsPort,
  asked: operatorsPortGiven,
  setting: 'PROV_LEDGER_OPERATORS_PORT',
});

/** Both addresses; who asked for any free port gets any free one for the operators too. */
export const listenTwice = async (
  gateway: Gateway,
  { configuration, options, log }: Listening,
): Promise<{ readonly url: string; readonly operatorsUrl: string }> => {
  const callers: Address = {
    host: options.host ?? configuration.httpHost,
    port: options.port ?? configuration.httpPort,
    asked: options.port !== undefined || configuration.httpPortGiven,
    setting: 'PROV_LEDGER_HTTP_PORT or --port',
  };
  const operators = operatorsAddress(configuration, callers.port === 0);
  const operatorsUrl = await listen(gateway.operators, operators, log);
  return { url: await listen(gateway, callers, log), operatorsUrl };
};

/** Of a process that answers nobody but operators. */
export const listenOnce = (operators: Listener, configuration: Configuration, log: Log): Promise<string> =>
  listen(operators, operatorsAddress(configuration, false), log);

const PORTS_TRIED = 20;

const listen = async (
  listener: Listener,
  { host, port: first, asked, setting }: Address,
  log: Log,
): Promise<string> => {
  for (let port = first; ; port += 1) {
    try {
      return await listener.listen({ host, port });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'EADDRINUSE' && !asked && port < first + PORTS_TRIED) {
        log('warn', `port ${port} is taken; trying ${port + 1}`);
        continue;
      }
      const what =
        code === 'EADDRINUSE'
          ? `the port is taken: choose another, or 0 for a free one (${setting})`
          : message;
      throw new CliError('unavailable', 'cannot-listen', `cannot listen on ${host}:${port}: ${what}`, {
        cause: error,
      });
    }
  }
};
