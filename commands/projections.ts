// What may be put on record about read models. A stream for each of them, in each tenant's chain: which facts it passes
// over is there to be found by whoever folds that chain again.
import { type Seq, streamName } from '#schemas/ids.ts';
import type { ProjectionEvent, RebuildProved } from '#schemas/projections.ts';
import { accept, type Decider, type Refusal, refuse } from './decider.ts';

export type ProjectionCommand =
  | {
      readonly type: 'RecordRebuildProved';
      readonly projection: string;
      readonly proof: RebuildProved['data'];
    }
  | {
      readonly type: 'SkipFact';
      readonly projection: string;
      readonly seq: Seq;
      readonly reason: string;
    };

export type ProjectionRefusal = Refusal<'FactAlreadySkipped'>;

export interface ProjectionState {
  /** The places of the facts that the read model passes over. */
  readonly skipped: ReadonlySet<number>;
}

export const projections: Decider<ProjectionCommand, ProjectionState, ProjectionEvent, ProjectionRefusal> = {
  domain: 'projections',
  stream: ({ projection }) => streamName('projections', projection),
  initial: { skipped: new Set() },

  evolve: (state, { type, data }) => {
    switch (type) {
      case 'projections.FactSkipped':
        return { skipped: new Set([...state.skipped, data.seq]) };
      case 'projections.RebuildProved':
        return state;
      default:
        return type satisfies never;
    }
  },

  decide: (command, { skipped }) => {
    switch (command.type) {
      case 'RecordRebuildProved':
        return accept<ProjectionEvent>({
          event: { type: 'projections.RebuildProved', data: command.proof },
        });
      case 'SkipFact': {
        const { projection, seq, reason } = command;
        return skipped.has(seq)
          ? refuse('FactAlreadySkipped', `${projection} passes over fact ${seq} already; resume it`)
          : accept<ProjectionEvent>({
              event: { type: 'projections.FactSkipped', data: { projection, seq, reason } },
            });
      }
      default:
        return command satisfies never;
    }
  },
};
