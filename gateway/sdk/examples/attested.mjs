import { attested } from '@prov-ledger/sdk/attested';

const [url, token] = process.argv.slice(2);
// In a service these are PostgreSQL and Neo4j.
const tables = new Map();
const graph = new Map();

const placeOrder = attested(
  async ({ id, total }) => {
    tables.set(id, { id, total });
    graph.set(id, { id, total });
    return id;
  },
  {
    url,
    token,
    route: 'POST:/v1/orders',
    mapper: async ({ id }) =>
      [
        { store: 'postgres', held: tables.get(id) },
        { store: 'neo4j', held: graph.get(id) },
      ].map(({ store, held }) => ({
        store,
        elements: held ? [{ element: 'Order', id: held.id, fields: { total: held.total } }] : [],
      })),
    onUnattested: (error, { opId }) => console.error(`${opId} is not attested: ${error.message}`),
  },
);

console.log(`${await placeOrder({ id: '4711', total: 1200 })} is placed and attested`);
