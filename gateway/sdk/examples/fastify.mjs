import { privilegedRoutes } from '@prov-ledger/sdk/fastify';
import { openSpool } from '@prov-ledger/sdk/spool';
import { fastify } from 'fastify';

const [url, token, folder] = process.argv.slice(2);
const ledger = openSpool({ url, token, folder });

const app = fastify();
await app.register(privilegedRoutes, {
  ledger,
  actor: (request) => request.headers['x-user'],
  onError: (error, receipt) => app.log.error(error, `no receipt for ${receipt.action}`),
});
app.post(
  '/exports/:table',
  { config: { ledger: { action: 'db.export', inputs: (request) => ({ table: request.params.table }) } } },
  async (request, reply) => {
    if (request.headers['x-user'] === 'mallory') return reply.code(403).send('no\n');
    return 'exported\n';
  },
);

console.log(await app.listen({ port: 0, host: '127.0.0.1' }));
const end = async () => {
  await app.close();
  await ledger.drained({ signal: AbortSignal.timeout(5_000) });
  await ledger.close();
};
process.once('SIGTERM', () => void end());
