// A tenant's chain back from its export into a store that takes it. Every line is verified before a fact of it is stored;
// what an earlier run stored is compared and passed over.
import { type ExportFault, type ExportReport, exportVerifier } from '#proofs/export.ts';
import type { VerificationKey } from '#proofs/keys/public-key.ts';
import type { SignedShare } from '#proofs/share.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { type CarriedShare, CarryError, carrier, checkRepeats, type ShareTaker } from '#streams/carry.ts';
import type { Source } from '../ingest/source.ts';

export interface BringExportOptions {
  readonly source: Source;
  /** The ledger is known once the file has begun. */
  readonly takerOf: (ledgerId: string) => Promise<ShareTaker>;
  readonly keys: readonly VerificationKey[];
  readonly signal: AbortSignal;
  readonly onTaken?: (facts: number) => void;
}

/** Nothing when the signal came. Throws `CarryError`, `SourceError`, `StreamError`. */
export const bringFromExport = async (options: BringExportOptions): Promise<ExportReport | undefined> => {
  const { source, keys, signal, onTaken } = options;
  let verified: CarriedShare[] = [];
  const verifier = exportVerifier(keys, (facts, { path, ...statement }) => {
    const { tenantIndex, tenantPath } = path;
    const share: SignedShare = {
      first: facts[0]?.seq as Seq,
      count: path.factCount,
      proof: { ...statement, tenantIndex, tenantPath },
    };
    verified.push({ share, facts: facts.map((fact) => ({ fact })) });
  });
  let storing: ReturnType<typeof storingInto> | undefined;
  for await (const lines of source.lines(signal)) {
    for (const { bytes } of lines) {
      const fault = verifier.line(bytes?.toString('utf8') ?? '');
      if (fault) throw unsound(source.name, fault);
    }
    for (const carried of verified) {
      refuseCut(source.name, carried);
      storing ??= storingInto(await options.takerOf(carried.share.proof.ledgerId), onTaken);
      await storing.put(carried);
    }
    verified = [];
  }
  if (signal.aborted) return undefined;
  const ended = verifier.end();
  if ('code' in ended) throw unsound(source.name, ended);
  await storing?.flush();
  await storing?.provenEnd(ended);
  return ended;
};

const unsound = (file: string, { line, code, message }: ExportFault): CarryError =>
  new CarryError(
    code === 'unknown-key' ? 'unknown-key' : code === 'cut-off' ? 'gap' : 'broken',
    `${file}, line ${line}: ${code}: ${message}`,
  );

/** A part of a chain restores nothing: facts before it, or of the same batch, are missing. */
const refuseCut = (file: string, { share, facts }: CarriedShare): void => {
  if (facts.length === share.count) return;
  throw new CarryError(
    'gap',
    `${file} cuts the batch of ${facts[0]?.fact.tenant}/${facts[0]?.fact.seq}, of which ${share.count - facts.length} facts are not in it: export the whole chain, without --from and --to`,
  );
};

const storingInto = (taker: ShareTaker, onTaken: (facts: number) => void = () => undefined) => {
  const into = carrier(taker, onTaken);
  let end: Seq | undefined;
  return {
    flush: into.flush,
    put: async (carried: CarriedShare): Promise<void> => {
      const [first] = carried.facts;
      if (!first) return;
      const { tenant, seq } = first.fact;
      end ??= (await taker.position(tenant)).seq;
      if (seq <= end) return await same(taker, tenant, carried);
      if (seq > end + 1)
        throw new CarryError(
          'gap',
          `${tenant}: the export begins at fact ${seq}, and ${end === 0 ? 'a chain begins at 1' : `the facts here end at ${end}`}: export the whole chain, without --from and --to`,
        );
      end = (seq + carried.facts.length - 1) as Seq;
      await into.put(tenant, carried);
    },
    provenEnd: async ({ header, head }: ExportReport): Promise<void> => {
      const [held] = await taker.hashes(header.tenant, { from: head.seq, to: head.seq });
      if (held !== head.hash)
        throw new CarryError(
          'head-missing',
          `${header.tenant}: the head of the export, fact ${head.seq}, was not stored`,
        );
    },
  };
};

const same = async (taker: ShareTaker, tenant: TenantId, { facts }: CarriedShare): Promise<void> => {
  const repeats = new Map<Seq, { hash: Sha256; where: string }>();
  for (const { fact } of facts) repeats.set(fact.seq, { hash: fact.hash, where: 'the export' });
  await checkRepeats(taker, tenant, repeats);
};
