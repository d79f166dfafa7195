// /openapi.json against the routes there are, its own examples, and the answers that the service really gives.
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect } from 'chai';
import { OPERATORS } from '#commands/tenants.ts';
import type { InjectedAnswer } from '#gateway/http/listener.ts';
import { catalogue } from '#gateway/http/problems.ts';
import { OPERATOR_SCOPES } from '#gateway/http/tokens.ts';
import { isInstant } from '#schemas/ids.ts';
import { type GatewayUnderTest, openGateway, receipt } from './gateway-under-test.ts';

interface Content {
  readonly schema: object;
  readonly 'x-line-schema'?: object;
  readonly example?: unknown;
}
interface Operation {
  readonly operationId: string;
  readonly security: readonly object[];
  readonly parameters: readonly {
    readonly name: string;
    readonly in: string;
    readonly schema: object;
    readonly example?: unknown;
  }[];
  readonly requestBody?: { readonly content: Record<string, Content> };
  readonly responses: Record<
    string,
    { readonly description: string; readonly content?: Record<string, Content> }
  >;
}
interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: Record<string, object> };
}

const operationsOf = ({ paths }: Document) =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );

/** Checks values against schemas whose references lead into the document. */
const checker = (document: Document) => {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  ajv.addFormat('date-time', isInstant);
  ajv.addFormat('uuid', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  const text = JSON.stringify(document).replaceAll('"#/components', '"openapi#/components');
  ajv.addSchema(JSON.parse(text) as object, 'openapi');
  return (schema: object, value: unknown, about: string): void => {
    const own = JSON.parse(
      JSON.stringify(schema).replaceAll('"#/components', '"openapi#/components'),
    ) as object;
    expect(
      ajv.validate(own, value),
      `${about}: ${ajv.errorsText()} in ${JSON.stringify(value)?.slice(0, 400)}`,
    ).to.equal(true);
  };
};

describe('gateway/http: /openapi.json', () => {
  let under: GatewayUnderTest;
  let document: Document;
  let check: ReturnType<typeof checker>;

  before(async () => {
    under = await openGateway();
    document = JSON.parse((await under.get(undefined, '/openapi.json')).body) as Document;
    check = checker(document);
  });
  after(() => under[Symbol.asyncDispose]());

  it('has every route that is served, with its guard, and nothing else', () => {
    expect(document.openapi).to.equal('3.1.0');
    const served = under.gateway.routes.filter(
      ({ method, guard }) =>
        method !== 'HEAD' && !('open' in guard && guard.open.startsWith('names the methods')),
    );
    const said = operationsOf(document).map(({ path, method, operation }) => [
      `${method.toUpperCase()} ${path.replace(/^\/v1/, '')}`,
      operation.security,
    ]);
    const real = served.map(({ method, path, guard }) => [
      `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`,
      'scope' in guard ? [{ token: [guard.scope] }] : [],
    ]);
    expect(said).to.have.deep.members(real);
    expect(new Set(operationsOf(document).map(({ operation }) => operation.operationId)).size).to.equal(
      said.length,
    );
  });

  it('describes each parameter of a path, and each answer', () => {
    for (const { path, operation } of operationsOf(document)) {
      const inPath = operation.parameters.filter((each) => each.in === 'path').map(({ name }) => name);
      expect(inPath, path).to.deep.equal([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name));
      for (const answer of Object.values(operation.responses))
        expect(answer.description).to.have.length.above(5);
    }
  });

  it('has references that lead somewhere, and schemas that compile', () => {
    const names = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(
      ([, name]) => name,
    );
    expect(names.length).to.be.greaterThan(20);
    for (const name of names) expect(document.components.schemas).to.have.property(String(name));
    for (const name of Object.keys(document.components.schemas)) {
      expect(() => check({ $ref: `#/components/schemas/${name}` }, undefined, name), name).to.throw(name);
    }
  });

  it('has examples that validate', () => {
    let examples = 0;
    const content = (of: Record<string, Content> = {}, about: string): void => {
      for (const [type, { schema, example, 'x-line-schema': line }] of Object.entries(of)) {
        if (example === undefined) continue;
        examples += 1;
        if (!line) check(schema, example, `${about} ${type}`);
        else
          for (const each of String(example).trim().split('\n'))
            check(line, JSON.parse(each), `${about} ${type}`);
      }
    };
    for (const { path, operation } of operationsOf(document)) {
      content(operation.requestBody?.content, path);
      for (const [status, answer] of Object.entries(operation.responses))
        content(answer.content, `${path} ${status}`);
      for (const { schema, example, name } of operation.parameters) {
        if (example !== undefined) check(schema, example, `${path} ${name}`);
      }
    }
    expect(examples).to.be.greaterThan(20);
  });

  /** Holds one answer to what the document says of it. */
  const hold = (answer: InjectedAnswer, method: string, path: string): void => {
    const about = `${method} ${path} ${answer.status}`;
    const said = document.paths[path]?.[method]?.responses[answer.status];
    expect(said, `${about} is not in the document: ${answer.body.slice(0, 200)}`).to.not.equal(undefined);
    const [type = ''] = String(answer.headers['content-type']).split(';');
    const content = said?.content?.[type];
    expect(content, `${about} ${type}`).to.not.equal(undefined);
    const line = content?.['x-line-schema'];
    if (line) for (const each of answer.body.trim().split('\n')) check(line, JSON.parse(each), about);
    else if (type.endsWith('json')) check(content?.schema ?? {}, JSON.parse(answer.body), about);
  };

  it('describes the answers to operators and to senders of events', async () => {
    await under.command(OPERATORS, { type: 'CreateTenant', displayName: 'operators' });
    const token = await under.token({ tenant: OPERATORS, scopes: OPERATOR_SCOPES });
    const send = async (method: 'GET' | 'POST', path: string, { at = path, body = '{}' } = {}) => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const answer = await under.gateway.inject({
        method,
        path: at,
        headers,
        ...(method === 'POST' && { body }),
      });
      hold(answer, method.toLowerCase(), path);
      return answer;
    };
    for (const body of ['{"tenant":"initech"}', '{"tenant":"initech"}', '{}', '['])
      await send('POST', '/v1/tenants', { body });
    for (const query of ['', '?limit=1', '?limit=0'])
      await send('GET', '/v1/tenants', { at: `/v1/tenants${query}` });
    for (const tenant of ['initech', 'nobody']) {
      const own = `/v1/tenants/${tenant}`;
      await send('GET', '/v1/tenants/{tenant}', { at: own });
      await send('GET', '/v1/tenants/{tenant}/tokens', { at: `${own}/tokens` });
      const { token_id: id = 'none' } = JSON.parse(
        (await send('POST', '/v1/tenants/{tenant}/tokens', { at: `${own}/tokens` })).body,
      ) as { token_id?: string };
      for (const each of [id, id, 'none'])
        await send('POST', '/v1/tenants/{tenant}/tokens/{token_id}/revoke', {
          at: `${own}/tokens/${each}/revoke`,
        });
      for (const [path, body] of [
        ['rename', '{"display_name":"I"}'],
        ['suspend', '{"reason":"x"}'],
        ['suspend', '{"reason":"x"}'],
        ['resume', '{}'],
      ] as const)
        await send('POST', `/v1/tenants/{tenant}/${path}`, { at: `${own}/${path}`, body });
    }
    const sender = await under.token();
    const event = {
      specversion: '1.0',
      id: '1',
      source: '/s',
      type: 't',
      data: { decision: 'allow', actor: 'a' },
    };
    for (const [type, body] of [
      ['application/cloudevents+json', event],
      ['application/cloudevents+json', { ...event, data: {} }],
      ['application/cloudevents+json', {}],
      ['application/cloudevents-batch+json', [event, {}, { ...event, id: '2' }]],
    ] as const)
      hold(await under.post(sender, body, { 'content-type': type }), 'post', '/v1/receipts');
  });

  it('describes the answers that are given', async () => {
    const token = await under.token();
    const sent = receipt({ id: 'r-1', op_id: 'op', region: 'eu' });
    const ndjson = { 'content-type': 'application/x-ndjson' };
    const answers: readonly (readonly [string, string, Promise<InjectedAnswer>])[] = [
      ['post', '/v1/receipts', under.post(token, sent)],
      ['post', '/v1/receipts', under.post(token, `${JSON.stringify(receipt())}\n{"id":1}\n[`, ndjson)],
      ['get', '/v1/ledger/{tenant}/head', under.get(token, '/v1/ledger/acme/head')],
      ['get', '/v1/ledger/{tenant}/head', under.get(token, '/v1/ledger/globex/head')],
      ['get', '/version', under.get(token, '/version')],
      ...['/.well-known/jwks.json', '/healthz', '/readyz', '/openapi.json', '/docs', '/problems'].map(
        (path) => ['get', path, under.get(undefined, path)] as const,
      ),
      ['get', '/problems/{code}', under.get(undefined, '/problems/overloaded')],
      ['get', '/problems/{code}', under.get(undefined, '/problems/none')],
    ];
    for (const [method, path, answer] of answers) hold(await answer, method, path);
    for (const body of [sent, { ...sent, decision: 'deny' }, { id: 'r-1' }, '[', '{"a":1,"a":1}']) {
      hold(await under.post(token, body), 'post', '/v1/receipts');
    }
    const get = '/v1/provenance/receipts/{id}';
    for (const query of ['', '?from=2', '?from=3&to=2', '?to=x'])
      hold(await under.get(token, `/v1/ledger/acme/events${query}`), 'get', '/v1/ledger/{tenant}/events');
    for (const query of ['', '?from=2', '?to=0'])
      hold(await under.get(token, `/v1/ledger/acme/export${query}`), 'get', '/v1/ledger/{tenant}/export');
    const bundle = (await under.get(token, '/provenance/receipts/r-1')).body;
    for (const body of [bundle, '{}', '[']) {
      const path = '/v1/verify';
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      hold(await under.gateway.inject({ method: 'POST', path, headers, body }), 'post', path);
    }
    for (const path of ['/v1/provenance/receipts/r-1', '/v1/provenance/receipts/none']) {
      hold(await under.get(token, path), 'get', get);
      hold(await under.get(token, `${path}/proof`), 'get', `${get}/proof`);
    }
    for (const query of ['', '?limit=1', '?limit=0', '?actor=alice&nonsense=1'])
      hold(await under.get(token, `/v1/receipts${query}`), 'get', '/v1/receipts');
    hold(await under.get(undefined, '/v1/provenance/receipts/r-1'), 'get', get);
    expect(() =>
      hold({ status: 200, headers: { 'content-type': 'application/json' }, body: '{}' }, 'get', get),
    ).to.throw(/ReceiptBundle|required|must have/);
  });
});

describe('gateway/http: documentation', () => {
  let under: GatewayUnderTest;
  before(async () => {
    under = await openGateway();
  });
  after(() => under[Symbol.asyncDispose]());

  const asBrowser = (path: string) =>
    under.gateway.inject({
      method: 'GET',
      path,
      headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' },
    });

  it('is readable pages that fetch nothing from elsewhere', async () => {
    for (const path of ['/docs', '/problems', '/problems/receipt-id-taken']) {
      const { status, headers, body } = await asBrowser(path);
      expect(status).to.equal(200);
      expect(headers['content-type']).to.equal('text/html; charset=utf-8');
      expect(headers['content-security-policy']).to.contain("default-src 'none'");
      expect(body, path).to.not.match(/https?:\/\/(?!json-schema)|<script|<link|<img|@import|url\(/);
    }
  });

  it('/docs has every route, and links that lead to places on it', async () => {
    const { body } = await asBrowser('/docs');
    const ids = new Set([...body.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id));
    const links = [...body.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id);
    expect(links.length).to.be.greaterThan(15);
    for (const link of links) expect(ids.has(link), link).to.equal(true);
    for (const { method, path, guard } of under.gateway.routes) {
      if (method === 'HEAD' || ('open' in guard && guard.open.startsWith('names the methods'))) continue;
      expect(body).to.contain(`${path.replaceAll(/:(\w+)/g, '{$1}')}</code></h3>`);
    }
  });

  it('/problems is the catalogue, and every problem links to its page', async () => {
    const { problems } = JSON.parse((await under.get(undefined, '/problems')).body) as {
      problems: readonly { readonly code: string }[];
    };
    expect(problems.map(({ code }) => code)).to.deep.equal(Object.keys(catalogue));
    const refused = await under.get(undefined, '/ledger/acme/head');
    expect(refused.headers['link']).to.equal('</problems/token-missing>; rel="help"');
    const { body } = await asBrowser('/problems/token-missing');
    expect(body).to.contain(catalogue['token-missing'].todo.replaceAll('<', '&lt;').replaceAll('>', '&gt;'));
  });

  it('a path means the same with /v1 and without; what has no version has no path there', async () => {
    const token = await under.token();
    const posted = await under.gateway.inject({
      method: 'POST',
      path: '/v1/receipts',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(receipt({ id: 'v-1' })),
    });
    expect(posted.status).to.equal(201);
    for (const path of ['/v1/provenance/receipts/v-1', '/provenance/receipts/v-1'])
      expect((await under.get(token, path)).body).to.equal(posted.body);
    for (const path of [
      '/v1',
      '/v1/',
      '/v1/healthz',
      '/v1/v1/receipts',
      '/v2/receipts',
      '/v1/docs',
      '/v1receipts',
    ])
      expect((await under.get(token, path)).status, path).to.equal(404);
  });
});
