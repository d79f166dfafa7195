import { expect } from 'chai';
import { attestations } from '#commands/attestations.ts';
import type {
  AttestationRecorded,
  DriftAlarmRaised,
  SpanDigested,
  WriteAttested,
} from '#schemas/attestations.ts';
import { given } from '#test/support/given.ts';

describe('commands/attestations', () => {
  const side = (store: string, seq: number, digit: string) => ({ store, seq, root: digit.repeat(64) });
  const left = side('postgres', 7, 'a');
  const record = (right: typeof left, divergent = 0) =>
    ({ type: 'RecordAttestation', route: 'receipts', left, right, elements: 5, divergent }) as const;
  const recorded = (
    right: typeof left,
    verdict: AttestationRecorded['data']['verdict'],
    divergent = 0,
  ): AttestationRecorded => ({
    type: 'attestations.AttestationRecorded',
    data: {
      route: 'receipts',
      left_store: left.store,
      left_seq: left.seq,
      left_root: left.root,
      right_store: right.store,
      right_seq: right.seq,
      right_root: right.root,
      elements: 5,
      divergent,
      verdict,
    },
  });
  const same = side('neo4j', 7, 'a');
  const other = side('neo4j', 7, 'b');
  const behind = side('neo4j', 6, 'b');
  const raised: DriftAlarmRaised = {
    type: 'attestations.DriftAlarmRaised',
    data: { route: 'receipts', alarm_id: 'a-1', as_of_seq: 7, divergent: 2, in_a_row: 1 },
  };
  const raise = {
    type: 'RaiseDriftAlarm',
    route: 'receipts',
    alarmId: 'a-1',
    asOfSeq: 7,
    divergent: 2,
    inARow: 1,
  } as const;

  it('the verdict follows from the digests, and from nothing else', () => {
    given(attestations).when(record(same)).then(recorded(same, 'clean'));
    given(attestations)
      .when(record(other, 2))
      .then(recorded(other, 'divergent', 2));
  });

  it('stores at different places lag, whatever their roots are (pitfall 33)', () => {
    given(attestations).when(record(behind)).then(recorded(behind, 'lag'));
    const equalByChance = side('neo4j', 6, 'a');
    given(attestations).when(record(equalByChance)).then(recorded(equalByChance, 'lag'));
  });

  it('a number of divergent elements that the roots do not bear out is refused', () => {
    for (const [right, divergent] of [
      [same, 1],
      [behind, 1],
      [other, 0],
    ] as const)
      given(attestations).when(record(right, divergent)).thenRefused('DivergenceNotBorneOut');
  });

  it('an older comparison is not put over a later one', () => {
    const later: AttestationRecorded = {
      type: 'attestations.AttestationRecorded',
      data: { ...recorded(same, 'clean').data, left_seq: 9, right_seq: 9 },
    };
    given(attestations, later).when(record(other, 2)).thenRefused('AttestationOutdated');
    given(attestations, later).when(record(behind)).then(recorded(behind, 'lag'));
  });

  it('drift is located, and an alarm raised once, only where an attestation found it', () => {
    given(attestations, recorded(behind, 'lag')).when(raise).thenRefused('DriftNotAttested');
    given(attestations, recorded(other, 'divergent', 2))
      .when(raise)
      .then(raised);
    given(attestations, recorded(other, 'divergent', 2), raised)
      .when(raise)
      .thenRefused('DriftAlarmAlreadyRaised');
    const locate = {
      type: 'LocateDrift',
      route: 'receipts',
      asOfSeq: 7,
      class: 'value',
      element: 'receipt r-1',
      field: 'decision',
    } as const;
    given(attestations).when(locate).thenRefused('DriftNotAttested');
    given(attestations, recorded(other, 'divergent', 2))
      .when(locate)
      .then({
        type: 'attestations.DriftLocated',
        data: {
          route: 'receipts',
          as_of_seq: 7,
          class: 'value',
          element: 'receipt r-1',
          field: 'decision',
        },
      });
  });

  it('a policy and a backfill are on record', () => {
    given(attestations)
      .when({ type: 'ChangeDriftPolicy', route: 'receipts', divergentMin: 1, alarmAfter: 2, cleanAfter: 2 })
      .then({
        type: 'attestations.DriftPolicyChanged',
        data: { route: 'receipts', divergent_min: 1, alarm_after: 2, clean_after: 2 },
      });
    given(attestations)
      .when({ type: 'RecordBackfill', route: 'receipts', toSeq: 9, operations: 4 })
      .then({
        type: 'attestations.BackfillCompleted',
        data: { route: 'receipts', to_seq: 9, operations: 4 },
      });
  });

  it('a backfill that does not reach the divergence is none', () => {
    given(attestations, recorded(other, 'divergent', 2))
      .when({ type: 'RecordBackfill', route: 'receipts', toSeq: 6, operations: 4 })
      .thenRefused('BackfillFallsShort');
  });

  const span = (fromSeq: number, toSeq: number, foldVersion = 1) =>
    ({
      type: 'RecordSpanDigest',
      route: 'receipts',
      foldVersion,
      fromSeq,
      toSeq,
      operations: 3,
      elements: 5,
      root: 'a'.repeat(64),
    }) as const;
  const digested = (from_seq: number, to_seq: number, fold_version = 1): SpanDigested => ({
    type: 'attestations.SpanDigested',
    data: {
      route: 'receipts',
      fold_version,
      from_seq,
      to_seq,
      operations: 3,
      elements: 5,
      root: 'a'.repeat(64),
    },
  });

  it('an operation is attested once, and differs where its digests do', () => {
    const written = (right: string, divergent: number, opId = 'op-1') =>
      ({
        type: 'AttestWrite',
        route: 'orders',
        opId,
        left: { store: 'postgres', digest: 'a'.repeat(64) },
        right: { store: 'neo4j', digest: right.repeat(64) },
        elements: 3,
        divergent,
      }) as const;
    const attested = (right: string, divergent: number): WriteAttested => ({
      type: 'attestations.WriteAttested',
      data: {
        route: 'orders',
        op_id: 'op-1',
        left_store: 'postgres',
        left_digest: 'a'.repeat(64),
        right_store: 'neo4j',
        right_digest: right.repeat(64),
        elements: 3,
        divergent,
      },
    });
    given(attestations).when(written('a', 0)).then(attested('a', 0));
    given(attestations).when(written('b', 2)).then(attested('b', 2));
    for (const [right, divergent] of [
      ['a', 1],
      ['b', 0],
    ] as const)
      given(attestations).when(written(right, divergent)).thenRefused('DivergenceNotBorneOut');
    given(attestations, attested('a', 0)).when(written('a', 0)).thenRefused('WriteAlreadyAttested');
    const stream = (command: Parameters<typeof attestations.decide>[0]) =>
      attestations.stream?.(command, 'acme' as never);
    expect(stream(written('a', 0)), 'a stream for each operation').to.equal('attestations-write:op-1');
  });

  it('digests of the ledger follow one another without gaps; a new fold begins anew', () => {
    given(attestations).when(span(1, 9)).then(digested(1, 9));
    const first = digested(1, 9);
    given(attestations, first).when(span(10, 20)).then(digested(10, 20));
    given(attestations, first)
      .when(span(1, 20, 2))
      .then(digested(1, 20, 2));
    for (const out of [span(9, 20), span(11, 20), span(10, 9), span(10, 20, 2)])
      given(attestations, first).when(out).thenRefused('SpanOutOfOrder');
    given(attestations, digested(1, 9, 2))
      .when(span(10, 20, 1))
      .thenRefused('SpanOutOfOrder');
  });
});
