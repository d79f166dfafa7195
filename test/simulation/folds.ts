// What must hold of the stores: at its checkpoint each holds what the facts up to there come to, folded here one by one and
// from the beginning, without the machinery: no fact lost, none doubled. A store that was harmed is left out until it is
// made good.
import { expect } from 'chai';
import { type AnyProjector, keyText } from '#projectors/batch.ts';
import type { Row } from '#projectors/projector.ts';
import type { Fact } from '#schemas/event.ts';
import { ACME } from '#test/support/memory-ledger.ts';
import type { SimulatedStore } from './stores.ts';
import type { History } from './world.ts';

const folded = (projector: AnyProjector, facts: History): ReadonlyMap<string, Row> => {
  const rows = new Map<string, Row>();
  for (const said of facts) {
    if (!projector.handles.includes(said.type)) continue;
    const fact = said as unknown as Fact;
    for (const key of projector.keys(fact)) {
      const row = projector.fold(rows.get(keyText(key)), fact, key);
      if (row) rows.set(keyText(key), row as Row);
      else rows.delete(keyText(key));
    }
  }
  return rows;
};

/** One line a row, in an order that depends on nothing else. */
const told = (rows: Iterable<readonly [string, Row]>): string =>
  [...rows]
    .map(([key, row]) => `${key} ${JSON.stringify(row)}`)
    .sort()
    .join('\n');

/** Throws with what does not hold. */
export const expectStoreSound = (store: SimulatedStore, history: History): void => {
  for (const projector of store.projectors) {
    const at = store.kept.checkpoint(projector, ACME);
    expect(at?.fault, `${store.name}: ${projector.name} has not halted`).to.equal(undefined);
    if (at) expect(at.hash, 'of this chain').to.equal(history[at.seq - 1]?.hash);
    if (store.harms.length > 0 || !at) continue;
    expect(
      told(store.kept.rows(projector, ACME)),
      `${store.name}: ${projector.name} is what the facts up to ${at.seq} come to`,
    ).to.equal(told(folded(projector, history.slice(0, at.seq))));
  }
};

/** What a store holds and how far it has come, as one text. */
export const storeText = ({ name, projectors, kept }: SimulatedStore): string =>
  projectors
    .map((each) => `${name} ${each.name} ${kept.checkpoint(each, ACME)?.seq}\n${told(kept.rows(each, ACME))}`)
    .join('\n');
