// A process that keeps read models and nothing else: beside others of its kind, each its part of the tenants. It answers
// operators only.
import type { RunningWorker } from '#gateway/cli/world.ts';
import type { Figure } from '#gateway/http/metrics.ts';
import { createOperators } from '#gateway/http/operators.ts';
import { projectors } from '#projectors/index.ts';
import { errorFields } from '../telemetry/logs.ts';
import type { KafkaFollowing } from './kafka/worker.ts';
import type { ProjectHooks } from './ledger/wire.ts';
import { drainable } from './running/draining.ts';
import { listenOnce } from './running/listening.ts';
import { observe } from './running/observed.ts';
import { toldTo } from './running/projecting.ts';
import { readiness } from './running/readiness.ts';
import type { ServingParts } from './serving.ts';

/** Starts on an open ledger, which it does not close. */
export const startProjectorWorker = async ({
  configuration,
  ledger,
  telemetry,
}: ServingParts): Promise<RunningWorker> => {
  const { log } = telemetry;
  const ending = new AbortController();
  const state = { slots: 0, facts: 0 };
  await using opening = new AsyncDisposableStack();
  const observed = opening.use(await observe({ configuration: { headsFile: undefined }, ledger, log }));
  const ready = readiness({
    pool: ledger.pool,
    ledgerId: ledger.store.ledgerId,
    projectors,
    withinMs: READY_WITHIN_MS,
    lostHeads: () => 0,
  });
  const following = await followed({ configuration, ledger, telemetry });
  const operators = opening.use(
    createOperators({
      readiness: async () => {
        if (ending.signal.aborted) return STOPPING;
        const missing = [...(await ready()).missing, ...(following?.missing() ?? [])];
        return { ready: missing.length === 0, missing };
      },
      measures: [
        telemetry.instruments({ queuedFacts: () => 0, ...observed }),
        ...observed.figures,
        ...figuresOf(state, following),
      ],
      onFault: (error, requestId) => log('error', 'a request failed', { requestId, ...errorFields(error) }),
    }),
  );
  const operatorsUrl = await listenOnce(operators, configuration, log);
  const hooks: ProjectHooks = {
    around: telemetry.feed,
    ...toldTo(log),
    onBatch: ({ facts }) => {
      state.facts += facts;
    },
  };
  const onSlots = (held: number): void => {
    state.slots = held;
    log('info', 'the worker keeps another part of the tenants', { slots: held });
  };
  const worked = following
    ? ledger.projectFrom(following.feedOf, ending.signal, hooks)
    : ledger.work(ending.signal, { ...hooks, onSlots });
  log('info', 'working', { operatorsUrl });
  return { operatorsUrl, ...drainable({ work: worked, ending, open: opening.move(), log }) };
};

const READY_WITHIN_MS = 2_000;
const STOPPING = { ready: false, missing: ['the worker is stopping'] };

/** The topic, where the worker is told to follow it. */
const followed = async ({
  configuration,
  ledger,
  telemetry: { log },
}: ServingParts): Promise<KafkaFollowing | undefined> => {
  if (configuration.workerFeed === 'postgres') return undefined;
  // Loaded only here: its driver is a third of what the program would read at its start.
  const { followKafka } = await import('./kafka/worker.ts');
  return followKafka({ configuration, ledger, log });
};

const figuresOf = (
  state: { readonly slots: number; readonly facts: number },
  following: KafkaFollowing | undefined,
): readonly Figure[] => [
  ...(following?.figures ?? [
    {
      name: 'ledger_worker_slots',
      help: 'The 256ths of all tenants whose read models this worker keeps.',
      read: () => [{ value: state.slots }],
    },
  ]),
  {
    name: 'ledger_worker_facts',
    help: 'Facts that every read model of this worker is done with since it began.',
    read: () => [{ value: state.facts }],
  },
];
