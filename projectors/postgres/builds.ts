// Builds: the tables of one version of a read model. One is live; programs with that version write to it, and each of
// their steps names the build's epoch, so that whoever was superseded meanwhile changes nothing.
import type { AnyProjector } from '#projectors/batch.ts';
import type { Held } from '#projectors/sink.ts';
import { StreamError } from '#streams/errors.ts';
import type { Queryable } from '#streams/postgres/connect.ts';

export interface BuildRef {
  readonly build: number;
  readonly epoch: number;
}

export interface LiveBuild extends BuildRef {
  readonly held?: Held | undefined;
}

/** By `<name>_v<version>`: SHA-256 over source and SQL, as this program has them. */
export type SourceDigests = ReadonlyMap<string, string>;

export const versionKey = ({ name, version }: Pick<AnyProjector, 'name' | 'version'>): string =>
  `${name}_v${version}`;

interface LiveRow {
  readonly build: number;
  readonly epoch: number;
  readonly paused: boolean;
  readonly source_digest: string | null;
}

/** Throws `StreamError`: `schema-mismatch` when there is no such version in the database. */
export const liveBuild = async (
  client: Queryable,
  projector: Pick<AnyProjector, 'name' | 'version'>,
  sources?: SourceDigests,
): Promise<LiveBuild> => {
  const { rows } = await client.query<LiveRow>({
    name: 'build.live',
    text: `SELECT b.build, b.epoch, m.paused_at IS NOT NULL AS paused, b.source_digest
      FROM projections.read_models m JOIN projections.builds b
        ON b.projection = m.projection AND b.version = m.version AND b.build = m.live_build
      WHERE m.projection = $1 AND m.version = $2`,
    values: [projector.name, projector.version],
  });
  const [row] = rows;
  if (!row)
    throw new StreamError(
      'schema-mismatch',
      `the database has no ${projector.name} v${projector.version}: run \`prov-ledger migrate\``,
    );
  return { build: row.build, epoch: row.epoch, held: heldBy(row, sources?.get(versionKey(projector))) };
};

const heldBy = ({ paused, source_digest }: LiveRow, own: string | undefined): Held | undefined => {
  if (paused) return 'paused';
  return own !== undefined && source_digest !== null && source_digest !== own ? 'changed' : undefined;
};
