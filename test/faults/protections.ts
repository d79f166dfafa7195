// What keeps read models right where systems of this kind have gone wrong, line by line: the line, what the code is without
// it, and the test that then fails. Whoever moves a line moves it here (protections.test.ts holds the two together).

export interface Protection {
  /** What goes wrong without it. */
  readonly fault: string;
  readonly file: string;
  readonly line: string;
  readonly without: string;
  readonly test: string;
  /** A part of the test's title. */
  readonly title: string;
}

export const protections: readonly Protection[] = [
  {
    fault: 'rows without their checkpoint, when a process dies between the two',
    file: 'streams/postgres/connect.ts',
    line: "await client.query('BEGIN');",
    without: "await client.query('BEGIN; COMMIT');",
    test: 'test/projectors/crash.integration.test.ts',
    title: 'leaves each fact applied once',
  },
  {
    fault: 'facts applied twice by two runners with one checkpoint',
    file: 'projectors/postgres/sink.ts',
    line: "AND c.seq = g.from_seq AND c.hash = g.from_hash AND c.status = 'running'",
    without: "AND c.status = 'running'",
    test: 'test/projectors/run.integration.test.ts',
    title: 'applies nothing twice when two runners share the checkpoints',
  },
  {
    fault: 'a checkpoint that passes a break in the chain',
    file: 'projectors/advance.ts',
    line: 'if (fact.seq === before.seq + 1 && fact.prevHash === before.hash) return undefined;',
    without: 'if (fact.seq >= before.seq) return undefined;',
    test: 'test/projectors/run.integration.test.ts',
    title: 'halts where the chain breaks within a batch',
  },
  {
    fault: 'a rebuild that passes over what halts the live runner',
    file: 'projectors/postgres/rebuild/fill.ts',
    line: `      fold.at = { ...fold.at, fault };
      return;`,
    without: `      rest = rest.slice(stop + 1);
      continue;`,
    test: 'test/projectors/rebuild/rebuild.integration.test.ts',
    title: 'halts at the fact at which the live runner halts',
  },
  {
    fault: 'a switch to rows that history does not produce',
    file: 'projectors/postgres/rebuild/rebuild.ts',
    line: 'expectEqual(projector, proofs);',
    without: '',
    test: 'test/projectors/rebuild/rebuild.integration.test.ts',
    title: 'is not switched to when its rows are not those of the replay',
  },
  {
    fault: 'two rebuilds at once',
    file: 'projectors/postgres/rebuild/claim.ts',
    line: 'if (before && !alone && before.fresh)',
    without: 'if (before && !alone && before.fresh && before.build < 0)',
    test: 'test/projectors/rebuild/death.integration.test.ts',
    title: 'does not die: a second one is refused meanwhile',
  },
  {
    fault: 'a paused worker that wakes and writes after another has taken over',
    file: 'projectors/postgres/rebuild/fill.ts',
    line: 'if (rowCount !== 1)',
    without: 'if (rowCount === -1)',
    test: 'test/projectors/rebuild/death.integration.test.ts',
    title: 'whose build another has taken over writes nothing more',
  },
  {
    fault: 'a fold that asks for the clock, the locale or chance',
    file: 'replay-harness/purity.ts',
    line: 'if (inDomain === 0) return;',
    without: 'if (inDomain >= 0) return;',
    test: 'test/replay-harness/replay.test.ts',
    title: 'the purity guard',
  },
  {
    fault: 'a digest that depends on the order in which rows come',
    file: 'projectors/digest.ts',
    line: 'digest.add(sortRowHashes(hashes));',
    without: 'digest.add(hashes);',
    test: 'test/projectors/digest.test.ts',
    title: 'the digest is that of the sorted hashes, whatever the order of the rows',
  },
];
