// What the service says of itself: its interface, its problems, its build. None of it changes while the process runs.
import { programDocument } from './conditional.ts';
import { escapeHtml, htmlReply, wantsHtml } from './html.ts';
import { openApi } from './openapi.ts';
import type { Operation } from './operation.ts';
import { catalogue, type ProblemCode, problem, problemEntry } from './problems.ts';
import { referencePage } from './reference.ts';
import { type Call, jsonReply, problemReply, type Reply, type Route } from './route.ts';
import { VERSION_PREFIX } from './version.ts';

export interface Build {
  readonly name: string;
  readonly version: string;
  /** What runs it, for example `node v24.15.0 linux/x64`. */
  readonly runtime: string;
}

const page = { type: 'text/html', schema: { type: 'string' } } as const;

const about = {
  openapi: {
    id: 'getOpenApi',
    subject: 'documentation',
    summary: 'This interface as an OpenAPI 3.1 document.',
    answers: {
      200: { description: 'The document.', media: [{ type: 'application/json', schema: 'OpenApi' }] },
    },
  },
  docs: {
    id: 'getReference',
    subject: 'documentation',
    summary: 'This interface as a page for people.',
    answers: { 200: { description: 'The page.', media: [page] } },
  },
  problems: {
    id: 'listProblems',
    subject: 'documentation',
    summary: 'Every problem that an answer may carry.',
    description: 'HTML for whoever accepts text/html, else JSON.',
    answers: {
      200: {
        description: 'The catalogue.',
        media: [{ type: 'application/json', schema: 'ProblemKinds' }, page],
      },
    },
  },
  problem: {
    id: 'getProblem',
    subject: 'documentation',
    summary: 'One problem: what it means and what to do.',
    parameters: {
      code: {
        in: 'path',
        description: 'the code of the problem',
        schema: { type: 'string' },
        example: 'receipt-id-taken',
      },
    },
    answers: {
      200: {
        description: 'The problem.',
        media: [{ type: 'application/json', schema: 'ProblemKind' }, page],
      },
    },
    problems: ['no-such-problem'],
  },
  build: {
    id: 'getBuild',
    subject: 'service',
    summary: 'Which program answers.',
    answers: { 200: { description: 'The build.', media: [{ type: 'application/json', schema: 'Build' }] } },
  },
} as const satisfies { readonly [name: string]: Operation };

const OPEN = { open: 'documents of this program, without anything that is in the ledger' };

/** `others` are the routes beside these. */
export const documentationRoutes = (others: readonly Route[], build: Build): readonly Route[] => {
  const documented: readonly Route[] = [
    ...others,
    {
      method: 'GET',
      path: '/openapi.json',
      unversioned: true,
      guard: OPEN,
      about: about.openapi,
      handle: (call: Call) => programDocument(call, openApiReply),
    },
    {
      method: 'GET',
      path: '/docs',
      unversioned: true,
      guard: OPEN,
      about: about.docs,
      handle: (call: Call) => programDocument(call, reference),
    },
    {
      method: 'GET',
      path: '/problems',
      unversioned: true,
      guard: OPEN,
      about: about.problems,
      handle: listProblems,
    },
    {
      method: 'GET',
      path: '/problems/{code}',
      unversioned: true,
      guard: OPEN,
      about: about.problem,
      handle: getProblem,
    },
    {
      method: 'GET',
      path: '/version',
      unversioned: true,
      guard: { scope: 'ledger:read' },
      about: about.build,
      handle: () => jsonReply({ ...build, api_versions: [VERSION_PREFIX.slice(1)] }),
    },
  ];
  const openApiReply = jsonReply(openApi(documented, build.version));
  const reference = htmlReply('Prov-Ledger: HTTP reference', referencePage(documented));
  return documented.slice(others.length);
};

const codes = Object.keys(catalogue) as readonly ProblemCode[];

const kindOf = (code: ProblemCode) => {
  const { status, title, todo, retryAfter } = problemEntry(code);
  return {
    code,
    type: `urn:prov-ledger:problem:${code}`,
    status,
    title,
    todo,
    ...(retryAfter !== undefined && { retry_after: retryAfter }),
  };
};

const listProblems = (call: Call): Reply => programDocument(call, problemList(call));

const problemList = ({ headers }: Call): Reply => {
  if (!wantsHtml(headers['accept'])) return jsonReply({ problems: codes.map(kindOf) });
  const rows = codes.map((code) => {
    const { status, title } = problemEntry(code);
    return `<tr><td>${status}</td><td><a href="/problems/${code}"><code>${code}</code></a></td><td>${escapeHtml(title)}</td></tr>`;
  });
  return htmlReply('Problems', `<h1>Problems</h1><table>${rows.join('\n')}</table>`);
};

const getProblem = (call: Call): Reply => {
  const { params, headers, requestId } = call;
  const code = codes.find((each) => each === params['code']);
  if (!code)
    return problemReply(problem('no-such-problem', 'the catalogue has no problem with this code'), requestId);
  if (!wantsHtml(headers['accept'])) return programDocument(call, jsonReply(kindOf(code)));
  const { status, title, todo, retryAfter } = problemEntry(code);
  const pause = retryAfter === undefined ? '' : `<p>The same request may succeed after ${retryAfter} s.</p>`;
  const shown = htmlReply(
    code,
    `<h1><code>${code}</code></h1><p>${status}: ${escapeHtml(title)}</p><h2>What to do</h2><p>${escapeHtml(todo)}</p>${pause}<p><a href="/problems">All problems</a></p>`,
  );
  return programDocument(call, shown);
};
