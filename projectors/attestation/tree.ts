// The digest tree of what a store holds of one tenant: element, bucket, tenant, and a root over tenants. A bucket is the
// elements that 64 facts in a row brought in, so new facts touch the last bucket only and the rest of the tree stands.
// Digests are hashed again and never summed: with XOR, two equal changes would cancel each other.
import { createHash } from 'node:crypto';

export const BUCKET_FACTS = 64;

export const bucketOf = (seq: number): number => Math.floor((seq - 1) / BUCKET_FACTS);

/** The facts of a bucket, both ends inclusive. */
export const factsOf = (bucket: number): { readonly from: number; readonly to: number } => ({
  from: bucket * BUCKET_FACTS + 1,
  to: (bucket + 1) * BUCKET_FACTS,
});

export interface BucketDigest {
  readonly elements: number;
  readonly digest: string;
}

/** By number; an empty bucket is not there. */
export type Buckets = ReadonlyMap<number, BucketDigest>;

const hashed = (tag: string, lines: readonly string[]): string => {
  const sha = createHash('sha256').update(`prov-ledger/${tag}/v1\n`);
  for (const line of lines) sha.update(`${Buffer.byteLength(line)}:${line}\n`);
  return sha.digest('hex');
};

/** Of element digests in whatever order; an element that is there twice counts twice. */
export const bucketDigest = (digests: readonly string[]): BucketDigest => ({
  elements: digests.length,
  digest: hashed('attested-bucket', digests.toSorted()),
});

/** Puts elements into their buckets. */
export const bucketsOf = (
  elements: Iterable<{ readonly seq: number | undefined; readonly digest: string }>,
): Buckets => {
  const digests = new Map<number, string[]>();
  for (const { seq, digest } of elements) {
    const bucket = bucketOf(seq ?? 0);
    const there = digests.get(bucket);
    if (there) there.push(digest);
    else digests.set(bucket, [digest]);
  }
  return new Map(Array.from(digests, ([bucket, each]) => [bucket, bucketDigest(each)]));
};

/** What one store holds of one tenant. */
export const tenantRoot = (buckets: Buckets): string =>
  hashed(
    'attested-tenant',
    [...buckets]
      .filter(([, { elements }]) => elements > 0)
      .sort(([a], [b]) => a - b)
      .map(([bucket, { elements, digest }]) => `${bucket} ${elements} ${digest}`),
  );

/** What one store holds of all tenants. */
export const storeRoot = (tenants: ReadonlyMap<string, string>): string =>
  hashed(
    'attested-store',
    [...tenants].sort(([a], [b]) => (a < b ? -1 : 1)).map(([tenant, root]) => `${tenant} ${root}`),
  );

/** The buckets in which the two differ, ascending. */
export const differingBuckets = (left: Buckets, right: Buckets): readonly number[] =>
  [...new Set([...left.keys(), ...right.keys()])]
    .filter((bucket) => left.get(bucket)?.digest !== right.get(bucket)?.digest)
    .sort((a, b) => a - b);
