// A world for the command line in which nothing is real but the rules: a ledger in memory, text kept instead of shown.
import { Readable } from 'node:stream';
import { runCli } from '#gateway/cli/main.ts';
import type { OpenLedger, World } from '#gateway/cli/world.ts';
import { jwks } from '#proofs/keys/public-key.ts';
import type { Instant } from '#schemas/ids.ts';
import type { OpenMemoryLedger } from '#test/support/memory-ledger.ts';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const refuse = (name: string) => async (): Promise<never> => {
  throw new Error(`${name} is not part of this test's world`);
};

/** Runs one command line on a ledger in memory. */
export const runIn = async (
  ledger: OpenMemoryLedger,
  argv: readonly string[],
  over: Partial<World> & { readonly input?: string } = {},
): Promise<Ran> => {
  let stdout = '';
  let stderr = '';
  const open: OpenLedger = {
    ...ledger,
    // No command that is tested here asks the database.
    pool: undefined as never,
    databases: undefined as never,
    jwks: () => jwks(ledger.keys),
    catchUp: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  const code = await runCli({
    argv,
    stdin: Readable.from([Buffer.from(over.input ?? '')]),
    stdout: { write: (text) => (stdout += text) !== '' },
    stderr: { write: (text) => (stderr += text) !== '' },
    signal: new AbortController().signal,
    clock: () => Date.UTC(2026, 10, 21, 10) as Instant,
    version: '1.2.3',
    resumptionFolder: () => '/nonexistent/prov-ledger-test',
    settings: () => [],
    open: async () => open,
    migrate: refuse('migrate'),
    keys: refuse('keys'),
    serve: refuse('serve'),
    exportsOf: refuse('exportsOf'),
    projectorWorker: refuse('projectorWorker'),
    scratch: refuse('scratch'),
    kafkaIngest: refuse('kafkaIngest'),
    kafkaRelay: refuse('kafkaRelay'),
    topics: refuse('topics'),
    registry: refuse('registry'),
    series: () => {
      throw new Error("series is not part of this test's world");
    },
    devKafka: refuse('devKafka'),
    again: refuse('again'),
    backup: refuse('backup'),
    restore: refuse('restore'),
    bring: refuse('bring'),
    copy: refuse('copy'),
    examine: async function* () {
      yield { check: 'node', state: 'ok', detail: 'new enough' } as const;
    },
    ...over,
  });
  return { code, stdout, stderr };
};
