import { openSpool } from '@prov-ledger/sdk/spool';

const [url, token, folder] = process.argv.slice(2);
const spool = openSpool({
  url,
  token,
  folder,
  onRefused: (receipt, error) => console.error(`${receipt.id} was refused: ${error.message}`),
});

for (let row = 1; row <= 3; row += 1) {
  const { id } = await spool.record({
    action: 'row.delete',
    actor: 'bob',
    decision: 'allow',
    inputs: { row },
  });
  console.log(`${id} is kept`);
}

await spool.drained({ signal: AbortSignal.timeout(10_000) });
console.log(spool.status().drained ? 'all delivered' : `still waiting: ${spool.status().trouble?.message}`);
await spool.close();
