// The way from a drift alarm to a restored write path as an SRE goes it, with commands alone, on real processes: a
// service that attests, a PostgreSQL and a Neo4j. The service may be killed after every step.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { connectGraph, type Graph } from '#projectors/neo4j/connect.ts';
import { removeNodes } from '#projectors/neo4j/rebuild.ts';
import type { Recorded } from '#schemas/event.ts';
import { type TenantId, tenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { inProcess } from '#test/deploy/processes/in-process.ts';
import type { Ended } from '#test/deploy/processes/program.ts';
import type { Service, Settings, Site } from './site.ts';

export const ACME: TenantId = tenantId('acme');

export interface Published {
  readonly status: number;
  readonly type: string | undefined;
}

export interface DriftLoop extends AsyncDisposable {
  readonly graph: Graph;
  /** One receipt sent, of acme unless told; the status and, of a problem, its type. */
  readonly publish: (id: string, tenant?: TenantId) => Promise<Published>;
  readonly cli: (...args: readonly string[]) => Promise<Ended>;
  /** Facts of attestations and gates in the order of the chain, as `type verdict`. */
  readonly said: () => Promise<readonly string[]>;
  /** Returns when it holds; polls, and fails after two minutes. */
  readonly until: (what: string, holds: () => Promise<boolean>) => Promise<void>;
  /** SIGKILL for the service, and another one in its place. */
  readonly killed: () => Promise<void>;
}

const PATIENCE_MS = 120_000;
const COMMAND_MS = 90_000;

const describing = (recorded: Recorded): string => {
  const { type, data } = decodeFact(recorded);
  return type === 'attestations.AttestationRecorded' ? `${type} ${data.verdict}` : type;
};

export interface DriftLoopOptions {
  /** Of PROV_LEDGER_ATTEST_SECONDS; 1 unless told. */
  readonly seconds?: number;
  /** Of the service, beside those it needs. */
  readonly beside?: Settings;
}

/** Empties the graph at `url`, and starts a service that compares all of it again and again. */
export const openDriftLoop = async (
  site: Site,
  url: string,
  { seconds = 1, beside = {} }: DriftLoopOptions = {},
): Promise<DriftLoop> => {
  const graph = connectGraph({ url });
  await removeNodes(graph, '(n)');
  const settings: Settings = { NEO4J_URL: url, PROV_LEDGER_ATTEST_SECONDS: String(seconds), ...beside };
  let service: Service = await site.service({ settings });
  const said = async (): Promise<readonly string[]> =>
    await site.withStore(async (store) => {
      const lines: string[] = [];
      for await (const page of store.read(ACME))
        for (const recorded of page)
          if (/^(attestations|gates)\./.test(recorded.type)) lines.push(describing(recorded));
      return lines;
    });
  return {
    graph,
    said,
    publish: async (id, tenant = ACME) => {
      const response = await fetch(`${service.url}/receipts`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${site.tokens.get(tenant)}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify({ id, action: 'db.export', actor: 'alice', decision: 'allow' }),
      });
      const { type } = (await response.json()) as { readonly type?: string };
      return { status: response.status, type };
    },
    cli: async (...args) =>
      await Promise.race([
        inProcess(args, { env: { ...site.environment, ...settings } }),
        // A command that hangs fails its test, and not all that come after it.
        pause(COMMAND_MS, undefined, { ref: false }).then(() => expect.fail(`hung: ${args.join(' ')}`)),
      ]),
    until: async (what, holds) => {
      const end = performance.now() + PATIENCE_MS;
      while (!(await holds())) {
        if (performance.now() > end)
          expect.fail(`never: ${what}; the chain has ${(await said()).join(', ')}`);
        await pause(100);
      }
    },
    killed: async () => {
      await service.kill();
      service = await site.service({ settings });
    },
    [Symbol.asyncDispose]: async () => {
      await service.kill();
      await graph[Symbol.asyncDispose]();
    },
  };
};

/** What must have been said, in this order, each once, since `before` was said. */
export const expectOneWayBack = (all: readonly string[], before: number): void => {
  const since = all.slice(before);
  const moves = since.filter((line) => /Alarm|WritePath|Backfill/.test(line));
  expect(moves, 'none is lost and none repeats').to.deep.equal([
    'attestations.DriftAlarmRaised',
    'gates.WritePathRolledBack',
    'attestations.BackfillCompleted',
    'gates.WritePathRestored',
  ]);
  const filled = since.indexOf('attestations.BackfillCompleted');
  const proof = since
    .slice(filled, since.indexOf('gates.WritePathRestored'))
    .filter((line) => line.endsWith(' clean'));
  expect(proof.length, 'clean attestations before the return').to.be.at.least(2);
};
