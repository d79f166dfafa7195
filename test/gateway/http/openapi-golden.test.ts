// What callers rely on, as a text that is reviewed: a change to a path, a parameter, an answer, a problem or a shape shows
// here. Adding is allowed within a version (docs/decisions/0010); taking away or changing is not.
// After such a change: UPDATE_GOLDEN=1 node deploy/launch.mjs mocha test/gateway/http/openapi-golden.test.ts
import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import type { OpenApiDocument } from '#gateway/http/openapi.ts';
import { openGateway } from './gateway-under-test.ts';

const GOLDEN = new URL('./openapi.golden.txt', import.meta.url);

interface Content {
  readonly [type: string]: { readonly schema: unknown; readonly 'x-line-schema'?: unknown };
}
interface Said {
  readonly operationId: string;
  readonly security: readonly { readonly token: readonly string[] }[];
  readonly parameters: readonly {
    readonly in: string;
    readonly name: string;
    readonly required: boolean;
    readonly schema: unknown;
  }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: {
    readonly [status: string]: {
      readonly description: string;
      readonly headers?: object;
      readonly content?: Content;
    };
  };
}

/** Without its descriptions: words may be bettered. */
const shape = (schema: unknown): string =>
  JSON.stringify(schema, (name, value: unknown) =>
    name === 'description' && typeof value === 'string' ? undefined : value,
  ).replaceAll(/\{"\$ref":"#\/components\/schemas\/(\w+)"\}/g, '$1');

const contents = (content: Content = {}): readonly string[] =>
  Object.entries(content)
    .filter(([type]) => type !== 'application/problem+json')
    .map(([type, of]) => `${type} ${shape(of['x-line-schema'] ?? of.schema)}`);

const operation = (method: string, path: string, said: Said): readonly string[] => [
  '',
  `${method.toUpperCase()} ${path}  ${said.operationId}  ${said.security[0]?.token.join(' ') ?? 'open'}`,
  ...said.parameters.map(
    (each) => `  ${each.in} ${each.name}${each.required ? ' (required)' : ''} ${shape(each.schema)}`,
  ),
  ...contents(said.requestBody?.content).map((line) => `  takes ${line}`),
  ...Object.entries(said.responses).flatMap(([status, answer]) => [
    ...(answer.content?.['application/problem+json']
      ? [
          `  ${status} ${[...answer.description.matchAll(/`([a-z0-9-]+)`:/g)].map(([, code]) => code).join(' ')}`,
        ]
      : [`  ${status} ${Object.keys(answer.headers ?? {}).join(', ')}`.trimEnd()]),
    ...contents(answer.content).map((line) => `    ${line}`),
  ]),
];

const textOf = ({ paths, components }: OpenApiDocument): string =>
  [
    'The HTTP interface, as callers may rely on it. Made by openapi-golden.test.ts.',
    ...Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, said]) => operation(method, path, said as unknown as Said)),
    ),
    '',
    'SHAPES',
    ...Object.entries(components.schemas).map(([name, schema]) => `${name} ${shape(schema)}`),
    '',
  ].join('\n');

describe('gateway/http: the interface', () => {
  it('is the one that was agreed: see openapi.golden.txt', async () => {
    await using under = await openGateway();
    const { body } = await under.get(undefined, '/openapi.json');
    const text = textOf(JSON.parse(body) as OpenApiDocument);
    if (process.env['UPDATE_GOLDEN']) writeFileSync(GOLDEN, text);
    expect(text.split('\n')).to.deep.equal(readFileSync(GOLDEN, 'utf8').split('\n'));
  });
});
