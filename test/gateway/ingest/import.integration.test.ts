// The bulk import against a real PostgreSQL: everything that is well-formed goes in once, whatever happens meanwhile.
import { expect } from 'chai';
import { projectors } from '#projectors/index.ts';
import { factId, type Instant, tenantId } from '#schemas/ids.ts';
import { receiptTexts } from '#test/load/receipts.ts';
import { dump } from '#test/projectors/chains.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { type ImportLedger, importLedger, TENANT } from './import-ledger.ts';

const texts = (count: number, seed = 7): string[] => [...receiptTexts({ tenant: TENANT, count, seed })];

/** The lines in many small pieces, so that many chunks come of few lines. */
const slowly = async function* (lines: readonly string[], between?: (index: number) => Promise<void>) {
  for (const [index, line] of lines.entries()) {
    await between?.(index);
    yield Buffer.from(`${line}\n`);
  }
};

const receiptIds = async ({ pool }: ImportLedger): Promise<readonly string[]> => {
  const { rows } = await pool.query<{ id: string }>(
    `SELECT convert_from(payload, 'UTF8')::jsonb ->> 'id' AS id FROM ledger.facts WHERE type = 'receipts.ReceiptRecorded' ORDER BY seq`,
  );
  return rows.map((row) => row.id);
};

const idsOf = (lines: readonly string[]): readonly string[] =>
  lines.map((line) => (JSON.parse(line) as { id: string }).id);

describe('bulk import', () => {
  it('takes everything in, in order, signed, with the read models at the head', async () => {
    await using ledger = await importLedger();
    const lines = texts(1_500);
    const summary = await ledger.importLines(lines);
    expect(summary).to.deep.include({ recorded: 1_500, repeated: 0, faults: 0, interrupted: false });
    expect(summary.inline).to.deep.equal(projectors.map(({ name }) => name));
    expect(await receiptIds(ledger)).to.deep.equal(idsOf(lines));
    expect(await expectLedgerSound(ledger)).to.include({ tenants: 1, facts: 1_501 });
    const inline = await dump(ledger.pool, projectors);
    const tables = projectors.map(({ name, version }) => `projections.${name}_v${version}`);
    await ledger.owner.query(`TRUNCATE ${[...tables, 'projections.checkpoints'].join(', ')}`);
    await ledger.catchUp();
    expect(await dump(ledger.pool, projectors)).to.deep.equal(inline);
  });

  it('goes through the same file again without a trace', async () => {
    await using ledger = await importLedger();
    const lines = texts(900);
    await ledger.importLines(lines);
    const again = await ledger.importLines(lines);
    expect(again).to.deep.include({ recorded: 0, repeated: 900, faults: 0 });
    const more = await ledger.importLines([...lines.slice(800), ...texts(1_000).slice(900)]);
    expect(more).to.deep.include({ recorded: 100, repeated: 100, faults: 0 });
    expect(await receiptIds(ledger)).to.have.length(1_000);
    await expectLedgerSound(ledger);
  });

  it('names each line that is no receipt, and takes the others', async () => {
    await using ledger = await importLedger();
    const [first, second, third] = texts(3) as [string, string, string];
    const lines = [
      first,
      '{"id":"a","id":"b"}',
      '{not json',
      '',
      `${second}\r`,
      '[1]',
      first.replace('"decision":"allow"', '"decision":"maybe"').replace('019b', '119b'),
      first.replace(`"tenant":"${TENANT}"`, '"tenant":"other"').replace('019b', '219b'),
      first,
      first.replace('eu-west-1', 'eu-west-9'),
      `{"n":9007199254740993}`,
      third.replace(/"created_at":"[^"]+",?/, ''),
      third,
    ];
    const summary = await ledger.importLines(lines);
    expect(summary).to.deep.include({ recorded: 3, repeated: 1, faults: 8 });
    expect(summary.lineFaults.map(({ line, code }) => [line, code])).to.deep.equal([
      [2, 'duplicate-key'],
      [3, 'not-json'],
      [6, 'not-an-object'],
      [7, 'malformed-receipt'],
      [8, 'tenant-mismatch'],
      [10, 'id-taken'],
      [11, 'unsafe-integer'],
      [12, 'malformed-receipt'],
    ]);
    for (const { message } of summary.lineFaults) expect(message).to.have.length.greaterThan(10);
    await expectLedgerSound(ledger);
  });

  it('tells a stored receipt of other content from one that is stored as it is', async () => {
    await using ledger = await importLedger();
    const lines = texts(100);
    await ledger.importLines(lines);
    const changed = lines.map((line, index) =>
      index === 40
        ? line.replace('"decision":"', '"decision":"deny","x":"').replace('deny","x":"', '')
        : line,
    );
    const other = (changed[50] as string).replace(/"action":"[^"]*"/, '"action":"something.else"');
    const summary = await ledger.importLines([...changed.slice(0, 50), other, ...changed.slice(51)]);
    expect(summary).to.deep.include({ recorded: 0, repeated: 99, faults: 1 });
    expect(summary.lineFaults).to.have.nested.property('[0].line', 51);
    expect(summary.lineFaults).to.have.nested.property('[0].code', 'id-taken');
  });

  it('shares the tenant with others who append meanwhile: nobody loses a fact', async function () {
    this.timeout(60_000);
    await using ledger = await importLedger();
    const lines = texts(2_400);
    const acknowledged: string[] = [];
    let stop = false;
    const rival = async (): Promise<void> => {
      for (let index = 0; !stop; index += 1) {
        const id = factId(`00000000-0000-7000-8000-${index.toString(16).padStart(12, '0')}`);
        const payload = `{"action":"a","actor":"rival","created_at":"2026-01-01T00:00:00Z","decision":"allow","id":"${id}","tenant":"${TENANT}"}`;
        const draft = {
          id,
          type: 'receipts.ReceiptRecorded',
          schemaVersion: 3,
          payload,
          occurredAt: 0 as Instant,
          actor: 'rival',
        };
        const result = await ledger.store.append({
          tenant: TENANT,
          drafts: [draft],
          expect: { kind: 'any' },
        });
        if (result.kind !== 'appended') throw new Error(result.kind);
        acknowledged.push(id);
      }
    };
    const running = rival();
    const summary = await ledger.importLines(slowly(lines));
    stop = true;
    await running;
    expect(summary).to.deep.include({ recorded: 2_400, repeated: 0, faults: 0 });
    expect(acknowledged.length).to.be.greaterThan(10);
    const stored = await receiptIds(ledger);
    expect([...stored].sort()).to.deep.equal([...idsOf(lines), ...acknowledged].sort());
    await expectLedgerSound(ledger, {
      acknowledged: acknowledged.map((id) => ({ tenant: TENANT, id: factId(id) })),
    });
    await ledger.catchUp();
    const { rows } = await ledger.pool.query<{ receipts: number }>(
      'SELECT receipts FROM views.tenants WHERE tenant = $1',
      [TENANT],
    );
    expect(rows[0]?.receipts).to.equal(stored.length);
  });

  it('stops when told, says where, and goes on from there', async () => {
    await using ledger = await importLedger();
    const lines = texts(2_000);
    const text = Buffer.from(`${lines.join('\n')}\n`);
    const stop = new AbortController();
    const first = await ledger.importLines(slowly(lines), {
      signal: stop.signal,
      onProgress: () => stop.abort(),
    });
    expect(first.interrupted).to.equal(true);
    expect(first.recorded).to.be.within(1, 1_999);
    const rest = text.subarray(first.offset).toString().trimEnd().split('\n');
    const second = await ledger.importLines(rest);
    expect(second).to.deep.include({ repeated: 0, faults: 0, recorded: 2_000 - first.recorded });
    expect(await receiptIds(ledger)).to.deep.equal(idsOf(lines));
    await expectLedgerSound(ledger);
  });

  it('gives a receipt without an id one from its content, so that it stays the same receipt', async () => {
    await using ledger = await importLedger();
    const line = '{"action":"a","actor":"b","created_at":"2026-01-01T00:00:00Z","decision":"allow"}';
    expect(await ledger.importLines([line])).to.include({ recorded: 1 });
    expect(await ledger.importLines([line])).to.include({ recorded: 0, repeated: 1 });
    expect((await receiptIds(ledger))[0]).to.match(/^sha256:[0-9a-f]{64}$/);
  });

  it('refuses a tenant that is not there, and a file that has no lines', async () => {
    await using ledger = await importLedger();
    const failed = await ledger
      .importLines(texts(1), { tenant: tenantId('nobody') })
      .catch((error: Error) => error);
    expect(failed).to.be.an('error').with.property('message').that.includes('tenant create');
    const endless = async function* () {
      for (let part = 0; part < 20; part += 1) yield Buffer.alloc(1 << 20, 'x');
    };
    const tooLong = await ledger.importLines(endless()).catch((error: Error) => error);
    expect(tooLong).to.be.an('error').with.property('name', 'LineTooLong');
    expect(await ledger.importLines([])).to.include({ recorded: 0, faults: 0 });
  });
});
