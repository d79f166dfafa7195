// What may be put on record about attestations: a stream for each route, and one for each operation that a service
// attests. Two stores are compared only at one place in the chain, and the verdict follows from the digests: nobody can
// record one that they do not bear out.
import type { AttestationEvent, DriftClass } from '#schemas/attestations.ts';
import { streamName } from '#schemas/ids.ts';
import { accept, type Decider, type Refusal, refuse } from './decider.ts';

/** One store's digest tree, at the place in the chain that the store has come to. */
export interface Side {
  readonly store: string;
  readonly seq: number;
  /** SHA-256, 64 lower-case hexadecimal digits. */
  readonly root: string;
}

export type AttestationCommand =
  | {
      readonly type: 'RecordAttestation';
      readonly route: string;
      readonly left: Side;
      readonly right: Side;
      readonly elements: number;
      /** Elements that differ; 0 where the roots are equal or the places are not. */
      readonly divergent: number;
    }
  | {
      readonly type: 'LocateDrift';
      readonly route: string;
      readonly asOfSeq: number;
      readonly class: DriftClass;
      readonly element: string;
      readonly field?: string | undefined;
      readonly leftDigest?: string | undefined;
      readonly rightDigest?: string | undefined;
    }
  | {
      readonly type: 'ChangeDriftPolicy';
      readonly route: string;
      readonly divergentMin: number;
      readonly alarmAfter: number;
      readonly cleanAfter: number;
    }
  | {
      readonly type: 'RaiseDriftAlarm';
      readonly route: string;
      readonly alarmId: string;
      readonly asOfSeq: number;
      readonly divergent: number;
      readonly inARow: number;
    }
  | {
      readonly type: 'RecordBackfill';
      readonly route: string;
      readonly toSeq: number;
      readonly operations: number;
    }
  | {
      readonly type: 'RecordSpanDigest';
      readonly route: string;
      readonly foldVersion: number;
      readonly fromSeq: number;
      readonly toSeq: number;
      readonly operations: number;
      readonly elements: number;
      readonly root: string;
    }
  | {
      readonly type: 'AttestWrite';
      readonly route: string;
      readonly opId: string;
      readonly left: Written;
      readonly right: Written;
      readonly elements: number;
      /** Elements that differ; 0 where the digests are equal. */
      readonly divergent: number;
    };

/** What an operation left in one store. */
export interface Written {
  readonly store: string;
  /** SHA-256, 64 lower-case hexadecimal digits. */
  readonly digest: string;
}

export type AttestationRefusal = Refusal<
  | 'DivergenceNotBorneOut'
  | 'AttestationOutdated'
  | 'DriftNotAttested'
  | 'DriftAlarmAlreadyRaised'
  | 'BackfillFallsShort'
  | 'SpanOutOfOrder'
  | 'WriteAlreadyAttested'
>;

export interface AttestationState {
  /** The furthest place at which the two stores were compared; 0 before the first time. */
  readonly comparedAt: number;
  /** The places at which they were found to differ. */
  readonly divergentAt: ReadonlySet<number>;
  readonly alarms: ReadonlySet<string>;
  /** How far the ledger's own digests are on record, by which version of the fold. */
  readonly digested: { readonly foldVersion: number; readonly toSeq: number };
  /** Of the stream of one operation. */
  readonly written: boolean;
}

type Recording = Extract<AttestationCommand, { type: 'RecordAttestation' }>;

export const attestations: Decider<
  AttestationCommand,
  AttestationState,
  AttestationEvent,
  AttestationRefusal
> = {
  domain: 'attestations',
  // An operation has a stream of its own, so that a busy route is not folded with each of its writes.
  stream: (command) =>
    streamName('attestations', command.type === 'AttestWrite' ? `write:${command.opId}` : command.route),
  initial: {
    comparedAt: 0,
    divergentAt: new Set(),
    alarms: new Set(),
    digested: { foldVersion: 0, toSeq: 0 },
    written: false,
  },

  evolve: (state, { type, data }) => {
    switch (type) {
      case 'attestations.AttestationRecorded':
        if (data.verdict === 'lag') return state;
        return {
          ...state,
          comparedAt: Math.max(state.comparedAt, data.left_seq),
          divergentAt:
            data.verdict === 'divergent' ? new Set([...state.divergentAt, data.left_seq]) : state.divergentAt,
        };
      case 'attestations.DriftAlarmRaised':
        return { ...state, alarms: new Set([...state.alarms, data.alarm_id]) };
      case 'attestations.SpanDigested':
        return { ...state, digested: { foldVersion: data.fold_version, toSeq: data.to_seq } };
      case 'attestations.WriteAttested':
        return { ...state, written: true };
      case 'attestations.DriftLocated':
      case 'attestations.DriftPolicyChanged':
      case 'attestations.BackfillCompleted':
        return state;
      default:
        return type satisfies never;
    }
  },

  decide: (command, state) => {
    const { route } = command;
    switch (command.type) {
      case 'RecordAttestation':
        return attest(command, state);
      case 'LocateDrift': {
        if (!state.divergentAt.has(command.asOfSeq)) return notAttested(route, command.asOfSeq);
        const { asOfSeq: as_of_seq, element, field, leftDigest, rightDigest } = command;
        const data = {
          route,
          as_of_seq,
          class: command.class,
          element,
          ...(field !== undefined && { field }),
          ...(leftDigest !== undefined && { left_digest: leftDigest }),
          ...(rightDigest !== undefined && { right_digest: rightDigest }),
        };
        return accept<AttestationEvent>({ event: { type: 'attestations.DriftLocated', data } });
      }
      case 'ChangeDriftPolicy': {
        const { divergentMin: divergent_min, alarmAfter: alarm_after, cleanAfter: clean_after } = command;
        const data = { route, divergent_min, alarm_after, clean_after };
        return accept<AttestationEvent>({ event: { type: 'attestations.DriftPolicyChanged', data } });
      }
      case 'RaiseDriftAlarm': {
        const { alarmId: alarm_id, asOfSeq: as_of_seq, divergent, inARow: in_a_row } = command;
        if (state.alarms.has(alarm_id))
          return refuse('DriftAlarmAlreadyRaised', `the alarm ${alarm_id} was raised before`);
        if (!state.divergentAt.has(as_of_seq)) return notAttested(route, as_of_seq);
        const data = { route, alarm_id, as_of_seq, divergent, in_a_row };
        return accept<AttestationEvent>({ event: { type: 'attestations.DriftAlarmRaised', data } });
      }
      case 'RecordBackfill': {
        const { toSeq: to_seq, operations } = command;
        const divergentTo = Math.max(0, ...state.divergentAt);
        if (to_seq < divergentTo)
          return refuse(
            'BackfillFallsShort',
            `${route} was found divergent at ${divergentTo}, which a backfill up to ${to_seq} does not reach; fill it up to there`,
          );
        return accept<AttestationEvent>({
          event: { type: 'attestations.BackfillCompleted', data: { route, to_seq, operations } },
        });
      }
      case 'RecordSpanDigest':
        return digest(command, state);
      case 'AttestWrite':
        return write(command, state);
      default:
        return command satisfies never;
    }
  },
};

type Digesting = Extract<AttestationCommand, { type: 'RecordSpanDigest' }>;

/** Spans follow one another without gaps; a new version of the fold begins at the first fact again. */
const digest = (command: Digesting, { digested }: AttestationState) => {
  const { route, foldVersion, fromSeq, toSeq, operations, elements, root } = command;
  const next = foldVersion > digested.foldVersion ? 1 : digested.toSeq + 1;
  if (foldVersion < digested.foldVersion || fromSeq !== next || toSeq < fromSeq)
    return refuse(
      'SpanOutOfOrder',
      `the digests of ${route} are on record up to ${digested.toSeq}, by fold ${digested.foldVersion}: this span from ${fromSeq} to ${toSeq} by fold ${foldVersion} does not follow; look again`,
    );
  return accept<AttestationEvent>({
    event: {
      type: 'attestations.SpanDigested',
      data: {
        route,
        fold_version: foldVersion,
        from_seq: fromSeq,
        to_seq: toSeq,
        operations,
        elements,
        root,
      },
    },
  });
};

type Writing = Extract<AttestationCommand, { type: 'AttestWrite' }>;

const write = ({ route, opId, left, right, elements, divergent }: Writing, { written }: AttestationState) => {
  if (written)
    return refuse(
      'WriteAlreadyAttested',
      `the operation ${opId} is attested already; another write is another operation`,
    );
  if ((left.digest === right.digest) !== (divergent === 0))
    return refuse(
      'DivergenceNotBorneOut',
      divergent === 0
        ? 'the digests differ: say how many elements do'
        : `${divergent} elements cannot differ where the digests are equal; give 0`,
    );
  return accept<AttestationEvent>({
    event: {
      type: 'attestations.WriteAttested',
      data: {
        route,
        op_id: opId,
        left_store: left.store,
        left_digest: left.digest,
        right_store: right.store,
        right_digest: right.digest,
        elements,
        divergent,
      },
    },
  });
};

const notAttested = (route: string, seq: number) =>
  refuse(
    'DriftNotAttested',
    `no attestation on record finds ${route} divergent at ${seq}; record that one first`,
  );

const attest = ({ route, left, right, elements, divergent }: Recording, { comparedAt }: AttestationState) => {
  const verdict = left.seq !== right.seq ? 'lag' : left.root === right.root ? 'clean' : 'divergent';
  if ((verdict === 'divergent') !== divergent > 0)
    return refuse(
      'DivergenceNotBorneOut',
      verdict === 'divergent'
        ? 'the roots differ at one place: say how many elements do'
        : `${divergent} elements cannot differ where ${verdict === 'lag' ? 'the stores are at different places' : 'the roots are equal'}; give 0`,
    );
  // Someone who slept through a later comparison must not put an older finding over it.
  if (verdict !== 'lag' && left.seq < comparedAt)
    return refuse(
      'AttestationOutdated',
      `${route} was compared at ${comparedAt} already, this one is of ${left.seq}; compare again`,
    );
  return accept<AttestationEvent>({
    event: {
      type: 'attestations.AttestationRecorded',
      data: {
        route,
        left_store: left.store,
        left_seq: left.seq,
        left_root: left.root,
        right_store: right.store,
        right_seq: right.seq,
        right_root: right.root,
        elements,
        divergent,
        verdict,
      },
    },
  });
};
