import { ClientError, createClient, verifyReceipt } from '@prov-ledger/sdk';

const [url, token] = process.argv.slice(2);
const ledger = createClient({ url, token });

try {
  const { id, seq } = await ledger.record({
    action: 'db.export',
    actor: 'alice',
    decision: 'allow',
    inputs: { table: 'invoices', rows: 12 },
  });
  console.log(`${id} is number ${seq} of its chain`);

  const { ok, checks } = await verifyReceipt(await ledger.receipt(id), await ledger.keys());
  for (const check of checks) console.log(`${check.ok ? 'ok' : 'FAILED'} ${check.name}: ${check.detail}`);
  console.log(ok ? 'verified' : 'not to be trusted');
} catch (error) {
  if (!(error instanceof ClientError)) throw error;
  console.error(error.code, error.message, error.problem?.errors ?? '');
  process.exitCode = 1;
} finally {
  await ledger.close();
}
