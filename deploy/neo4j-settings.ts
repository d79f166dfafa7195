// Settings of the graph: docs/operations/graph.md says what it is for. Without an address there is none.
import type { GraphAddress } from '#projectors/neo4j/connect.ts';
import { optional, type Setting, text, type Unusable, type Values, whole } from './setting.ts';

const SCHEMES = ['bolt:', 'bolt+s:', 'bolt+ssc:', 'neo4j:', 'neo4j+s:', 'neo4j+ssc:'];

const graphUrl = (raw: string): string | Unusable => {
  const wanted = { fault: 'give a URL like bolt://host:7687 or neo4j+s://host, without a password in it' };
  if (!URL.canParse(raw)) return wanted;
  const { protocol, username, password } = new URL(raw);
  return SCHEMES.includes(protocol) && username === '' && password === '' ? raw : wanted;
};

export const neo4jSettings = {
  neo4jUrl: optional({
    name: 'NEO4J_URL',
    description: 'a Neo4j (5 or later) to keep the graph read models in',
    parse: graphUrl,
  }),
  neo4jUser: optional({ name: 'NEO4J_USER', description: 'who this program is there', parse: text }),
  neo4jPassword: {
    name: 'NEO4J_PASSWORD',
    description: 'and with what password',
    parse: text,
    fallback: undefined,
    show: (value) => (value === undefined ? 'none' : '***'),
  } as Setting<string | undefined>,
  neo4jDatabase: optional({
    name: 'NEO4J_DATABASE',
    description: "which of its databases; the server's own choice unless told",
    parse: text,
  }),
  attestSeconds: {
    name: 'PROV_LEDGER_ATTEST_SECONDS',
    description: 'in which tables and graph are compared once, all of them; 0 leaves that to `attest run`',
    parse: whole(0, 86_400),
    fallback: 60,
  } as Setting<number>,
};

/** Where the graph is, when there is one. */
export const graphAddress = (
  settings: Omit<Values<typeof neo4jSettings>, 'attestSeconds'>,
): GraphAddress | undefined =>
  settings.neo4jUrl === undefined
    ? undefined
    : {
        url: settings.neo4jUrl,
        user: settings.neo4jUser,
        password: settings.neo4jPassword,
        database: settings.neo4jDatabase,
      };
