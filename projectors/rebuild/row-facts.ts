// Which facts made a row: those whose `keys` name it.
import { type AnyProjector, keyText } from '#projectors/batch.ts';
import type { RowKey } from '#projectors/projector.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';

export interface RowFactsOptions {
  readonly store: Pick<StreamStore, 'read'>;
  readonly projector: AnyProjector;
  readonly tenant: TenantId;
  readonly key: RowKey;
  readonly to?: Seq | undefined;
  readonly decode: (recorded: Recorded) => Fact;
}

/** In the order in which they were recorded. A fact that cannot be read or keyed made no row. */
export const rowFacts = async function* ({
  store,
  projector,
  tenant,
  key,
  to,
  decode,
}: RowFactsOptions): AsyncGenerator<Fact> {
  const wanted = keyText(key);
  for await (const page of store.read(tenant, to === undefined ? {} : { to })) {
    for (const recorded of page) {
      if (!projector.handles.includes(recorded.type)) continue;
      const fact = touching(recorded, { projector, wanted, decode });
      if (fact) yield fact;
    }
  }
};

const touching = (
  recorded: Recorded,
  { projector, wanted, decode }: Pick<RowFactsOptions, 'projector' | 'decode'> & { readonly wanted: string },
): Fact | undefined => {
  try {
    const fact = decode(recorded);
    return projector.keys(fact).some((key: RowKey) => keyText(key) === wanted) ? fact : undefined;
  } catch {
    return undefined;
  }
};
