// The OpenAPI 3.1 document of a table of routes. It says nothing by itself: paths, scopes, parameters and answers are
// those that the routes declare, problems those of the catalogue, schemas those that validate.
import {
  type AnswerKind,
  type Media,
  NDJSON,
  type Operation,
  type Parameter,
  type Schema,
} from './operation.ts';
import { problemDocument } from './problem-document.ts';
import { type ProblemCode, problem, problemEntry } from './problems.ts';
import type { Route } from './route.ts';
import { shapes } from './shapes.ts';
import { VERSION_PREFIX } from './version.ts';

const EVERYWHERE: readonly ProblemCode[] = ['request-malformed', 'shutting-down', 'internal-error'];
const GUARDED: readonly ProblemCode[] = [
  'token-missing',
  'token-refused',
  'token-expired',
  'token-revoked',
  'tenant-unnamed',
  'tenant-suspended',
  'scope-missing',
  'rate-limited',
  'issuer-unavailable',
  'store-unavailable',
];
const WITH_BODY: readonly ProblemCode[] = [
  'request-timeout',
  'media-type-unsupported',
  'body-too-large',
  'body-not-json',
  'body-invalid-utf8',
  'body-duplicate-key',
  'body-unsafe-integer',
  'body-number-out-of-range',
  'body-lone-surrogate',
  'body-nul-character',
  'body-too-deep',
  'body-forbidden-key',
];

type Described = Pick<Route, 'method' | 'path' | 'guard' | 'about' | 'unversioned'>;

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: Schema;
  readonly servers: readonly Schema[];
  readonly paths: { readonly [path: string]: { readonly [method: string]: Schema } };
  readonly components: {
    readonly schemas: { readonly [name: string]: object };
    readonly securitySchemes: Schema;
  };
}

export const openApi = (routes: readonly Described[], version: string): OpenApiDocument => {
  const paths: { [path: string]: { [method: string]: Schema } } = {};
  for (const route of routes) {
    const path = route.unversioned ? route.path : `${VERSION_PREFIX}${route.path}`;
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Prov-Ledger',
      version,
      summary: 'Signed, hash-chained receipts of privileged actions.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: shapes,
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'plt_<tenant>.<token id>.<secret>' },
      },
    },
  };
};

const operationOf = ({ guard, about, path }: Described): Schema => ({
  operationId: about.id,
  tags: [about.subject],
  summary: about.summary,
  ...(about.description !== undefined && { description: about.description }),
  ...securityOf(guard),
  parameters: Object.entries(about.parameters ?? {}).map(([name, parameter]) => parameterOf(name, parameter)),
  ...(about.body && { requestBody: { required: true, content: contentOf(about.body) } }),
  responses: {
    ...Object.fromEntries(
      Object.entries(about.answers).map(([status, answer]) => [status, answerOf(answer)]),
    ),
    ...problemsOf(guard, about, path),
  },
});

const securityOf = (guard: Route['guard']): Schema =>
  'scope' in guard
    ? { security: [{ token: [guard.scope] }] }
    : { security: [], 'x-open-because': guard.open };

const parameterOf = (name: string, { in: where, description, schema, example }: Parameter): Schema => ({
  name,
  in: where,
  description,
  required: where === 'path',
  schema,
  ...(example !== undefined && { example }),
});

const answerOf = ({ description, media, headers }: AnswerKind): Schema => ({
  description,
  ...(media && { content: contentOf(media) }),
  ...(headers && {
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, said]) => [
        name,
        { description: said, schema: { type: 'string' } },
      ]),
    ),
  }),
});

const contentOf = (media: readonly Media[]): Schema =>
  Object.fromEntries(
    media.map(({ type, schema: given, example }) => {
      const schema = typeof given === 'string' ? { $ref: `#/components/schemas/${given}` } : given;
      // OpenAPI 3.1 cannot say what each line of a stream is.
      const said = type === NDJSON ? { schema: { type: 'string' }, 'x-line-schema': schema } : { schema };
      return [type, { ...said, ...(example !== undefined && { example }) }];
    }),
  );

const problemsOf = (guard: Route['guard'], about: Operation, path: string): Schema => {
  const codes = new Set([
    ...EVERYWHERE,
    ...('scope' in guard ? GUARDED : []),
    ...(about.body ? WITH_BODY : []),
    ...(about.problems ?? []),
  ]);
  const byStatus = Map.groupBy(codes, (code) => problemEntry(code).status);
  return Object.fromEntries(
    [...byStatus].map(([status, same]) => [
      status,
      {
        description: same.map((code) => `\`${code}\`: ${problemEntry(code).title}`).join('; '),
        content: {
          'application/problem+json': {
            schema: { $ref: '#/components/schemas/Problem' },
            example: problemDocument(problem(same[0] as ProblemCode, `for example at ${path}`), 'example'),
          },
        },
      },
    ]),
  );
};
