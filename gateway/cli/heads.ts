// prov-ledger heads export and check: the ends of all chains, signed, kept outside, and looked for again. A ledger that
// was rolled back to an older backup still verifies; only what was kept elsewhere shows that facts are missing.
import { readFile, rename, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { type HeadsStatement, readHeads, signHeads } from '#proofs/heads.ts';
import { type KeySet, keysFromJwks } from '#proofs/keys/public-key.ts';
import { instantText } from '#schemas/ids.ts';
import { headsHeld, type LostHead } from '#streams/kept-heads.ts';
import type { StreamStore } from '#streams/stream.ts';
import { group, ledgerLeaf, type Options, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { count, figure } from './output.ts';
import { trustedKeys } from './verify-offline.ts';

interface ExportOptions extends Options {
  readonly out?: string;
}

const exportHeads = (run: Run): Command =>
  ledgerLeaf<ExportOptions>(
    run,
    {
      usage: 'export',
      summary: 'the ends of all chains, signed: keep the file where the database is not',
      examples: ['heads export --out /mnt/other/heads.json', 'heads export | ssh vault "cat > heads.json"'],
      build: (command) =>
        command.option(
          '-o, --out <file>',
          'write to a file, which is replaced whole; standard output unless given',
        ),
    },
    async ({ ledger, output, world }, { out }) => {
      const { signer } = await world.keys();
      const statement = {
        ledgerId: ledger.store.ledgerId,
        madeAt: world.clock(),
        heads: await ledger.store.heads(),
      };
      const text = `${JSON.stringify(await signHeads(signer, statement))}\n`;
      if (out === undefined) {
        world.stdout.write(text);
        return 'ok';
      }
      await writeFile(`${out}.part`, text, { flush: true });
      await rename(`${out}.part`, out);
      const tenants = statement.heads.filter(({ seq }) => seq > 0).length;
      output.answer(
        { file: out, tenants, made_at: instantText(statement.madeAt) },
        () =>
          `the heads of ${count(tenants, 'tenant')} are in ${out}; \`prov-ledger heads check ${out}\` looks for them`,
      );
      return 'ok';
    },
  );

interface CheckOptions extends Options {
  readonly jwks?: string;
}

const checkHeads = (run: Run): Command =>
  ledgerLeaf<CheckOptions>(
    run,
    {
      usage: 'check <file>',
      summary: 'is every head of the file still in its chain? 1 when the ledger was rolled back or rewritten',
      examples: ['heads check /mnt/other/heads.json', 'heads check heads.json --jwks jwks.json --json'],
      build: (command) =>
        command.option(
          '--jwks <file>',
          "the public keys to trust; those of this machine's keys folder unless given",
        ),
    },
    async ({ ledger, output, world }, options, [file = '']) => {
      const keys = options.jwks === undefined ? ledger.jwks() : await trustedKeys(options);
      const statement = await readHeadsFile(file, keys);
      const lost = await lostOf(ledger.store, { file, statement, signal: world.signal });
      if (world.signal.aborted) return 'interrupted';
      const { madeAt, heads } = statement;
      output.answer(
        {
          ok: lost.length === 0,
          made_at: instantText(madeAt),
          heads: heads.length,
          lost: lost.map(lostDocument),
        },
        () =>
          lost.length === 0
            ? `held: ${count(heads.length, 'head')} of ${instantText(madeAt)} ${heads.length === 1 ? 'is' : 'are'} in the ledger`
            : [...lost.map(lostText), ADVICE].join('\n'),
      );
      return lost.length === 0 ? 'ok' : 'refused';
    },
  );

export const headsCommands = (run: Run): Command =>
  group('heads', 'the ends of all chains, kept outside the ledger, and looked for again', [
    exportHeads(run),
    checkHeads(run),
  ]);

const ADVICE =
  'NOT held: stop writing; restore the newer backup. If the loss is accepted, `prov-ledger heads export` makes a new file';

/** Reads a heads file and believes it only under a trusted key. */
export const readHeadsFile = async (file: string, keys: KeySet): Promise<HeadsStatement> => {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new CliError(
      'unavailable',
      'file-unreadable',
      `${file} cannot be read: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
  const read = readHeads(text, keysFromJwks(keys));
  if (read.ok) return read.statement;
  throw new CliError('refused', `heads-${read.fault}`, `${file} ${UNREADABLE[read.fault]}`);
};

const UNREADABLE = {
  malformed: 'is no heads file: name one that `prov-ledger heads export` made',
  'other-type': 'is a signed document of another kind: name one that `prov-ledger heads export` made',
  'unknown-key':
    'is signed with a key that is not in the keys folder: put that folder back (PROV_LEDGER_KEYS_DIR), or name the public keys with --jwks',
  'bad-signature': 'is not what was signed: it was changed; use another copy',
} as const;

interface Kept {
  readonly file: string;
  readonly statement: HeadsStatement;
  readonly signal?: AbortSignal;
}

export const lostOf = async (
  store: StreamStore,
  { file, statement, signal }: Kept,
): Promise<readonly LostHead[]> => {
  const held = await headsHeld(store, statement, signal);
  if (held.sameLedger) return held.lost;
  throw new CliError(
    'refused',
    'heads-other-ledger',
    `${file} is of the ledger ${statement.ledgerId}, the database holds ${held.ledgerId}: one of the two is not the one that was meant`,
  );
};

export const lostDocument = ({ tenant, seq, hash, loss, headSeq }: LostHead) => ({
  tenant,
  seq,
  hash,
  loss,
  head_seq: headSeq,
});

export const lostText = ({ tenant, seq, loss, headSeq }: LostHead): string => {
  switch (loss) {
    case 'no-such-tenant':
      return `${tenant}: its chain is gone; it had ${count(seq, 'fact')}`;
    case 'rolled-back':
      return `${tenant}: rolled back to fact ${figure(headSeq)}; it had ${count(seq, 'fact')}`;
    case 'other-history':
      return `${tenant}: fact ${figure(seq)} is another than it was; its chain was written anew`;
    default:
      return loss satisfies never;
  }
};
