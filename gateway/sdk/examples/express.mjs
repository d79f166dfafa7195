import { createClient } from '@prov-ledger/sdk';
import { privilegedRoutes } from '@prov-ledger/sdk/express';
import express from 'express';

const [url, token] = process.argv.slice(2);
const ledger = createClient({ url, token });
const privileged = privilegedRoutes({
  ledger,
  actor: (request) => request.get('x-user'),
  onError: (error, receipt) => console.error('no receipt for', receipt.action, error),
});

const app = express();
app.post(
  '/exports/:table',
  privileged({ action: 'db.export', inputs: (request) => ({ table: request.params.table }) }),
  (request, response) => {
    if (request.get('x-user') === 'mallory') response.status(403).send('no\n');
    else response.send('exported\n');
  },
);

const server = app.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
process.once('SIGTERM', () => server.close(() => ledger.close()));
