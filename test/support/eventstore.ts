// A real EventStoreDB for tests: the address in EVENTSTORE_URL, or a container where Docker answers. Where none can be had,
// the tests that need it are pending, each by its name.
import { GenericContainer, type StartedTestContainer, Wait } from 'testcontainers';

const IMAGE = 'eventstore/eventstore:24.10';
const PORT = 2113;
/** An append of a thousand facts is larger than the 1 MiB that a server takes unless told. */
const APPEND_BYTES_MAX = 15 << 20;

export interface RealServer extends AsyncDisposable {
  readonly url: string;
}

/** `undefined` where there is none. */
export const realEventStore = async (): Promise<RealServer | undefined> => {
  const url = process.env['EVENTSTORE_URL'];
  if (url) return { url, [Symbol.asyncDispose]: async () => undefined };
  let container: StartedTestContainer;
  try {
    container = await new GenericContainer(IMAGE)
      .withEnvironment({
        EVENTSTORE_INSECURE: 'true',
        EVENTSTORE_MEM_DB: 'true',
        EVENTSTORE_MAX_APPEND_SIZE: String(APPEND_BYTES_MAX),
      })
      .withExposedPorts(PORT)
      .withWaitStrategy(Wait.forHttp('/health/live', PORT).forStatusCode(204))
      .start();
  } catch {
    return undefined;
  }
  return {
    url: `esdb://${container.getHost()}:${container.getMappedPort(PORT)}?tls=false`,
    [Symbol.asyncDispose]: async () => void (await container.stop()),
  };
};
