// Keeps receipts in a spool until it is killed, and names each on its output once it is acknowledged.
import { writeSync } from 'node:fs';
import { openSpool } from '#gateway/sdk/spool.ts';

const [url = '', token = '', folder = '', from = ''] = process.argv.slice(2);
const spool = openSpool({ url, token, folder, retry: { capMs: 20 } });
const keep = async (n: number): Promise<void> => {
  await spool.record({ id: `r-${n}`, action: 'row.delete', actor: 'bob', decision: 'allow', inputs: { n } });
  writeSync(1, `${n}\n`);
};
for (let n = Number(from); ; n += 8)
  await Promise.all(Array.from({ length: 8 }, (_, index) => keep(n + index)));
