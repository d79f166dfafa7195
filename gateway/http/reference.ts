// The page at /docs: the OpenAPI document as people read it.
import { escapeHtml } from './html.ts';
import type { Media, Operation } from './operation.ts';
import { NDJSON } from './operation.ts';
import type { Route } from './route.ts';
import { type ShapeName, shapes } from './shapes.ts';
import { VERSION_PREFIX } from './version.ts';

const code = (text: string): string => `<code>${escapeHtml(text)}</code>`;
const json = (value: unknown): string =>
  `<pre>${escapeHtml(typeof value === 'string' ? value : JSON.stringify(value, null, 2))}</pre>`;

export const referencePage = (routes: readonly Route[]): string => {
  const subjects = Map.groupBy(routes, ({ about }) => about.subject);
  const sections = [...subjects].map(
    ([subject, own]) => `<section><h2 id="${subject}">${subject}</h2>${own.map(entry).join('\n')}</section>`,
  );
  const shown = Object.entries(shapes).map(
    ([name, schema]) => `<h3 id="shape-${name}">${name}</h3>${json(schema)}`,
  );
  return [
    '<h1>Prov-Ledger: HTTP reference</h1>',
    `<p>The same as ${'<a href="/openapi.json">OpenAPI 3.1</a>'}. What can go wrong is in the <a href="/problems">problems catalogue</a>.</p>`,
    `<nav><ul>${routes.map((route) => `<li><a href="#${route.about.id}">${code(`${route.method} ${pathOf(route)}`)}</a></li>`).join('')}</ul></nav>`,
    ...sections,
    '<section><h2 id="shapes">Shapes</h2>',
    ...shown,
    '</section>',
  ].join('\n');
};

const pathOf = ({ path, unversioned }: Route): string => (unversioned ? path : `${VERSION_PREFIX}${path}`);

const entry = (route: Route): string => {
  const { method, guard, about } = route;
  const may = 'scope' in guard ? `A token with ${code(guard.scope)}.` : 'Open to everybody.';
  return [
    `<h3 id="${about.id}">${code(`${method} ${pathOf(route)}`)}</h3>`,
    `<p>${escapeHtml(about.summary)} ${may}</p>`,
    about.description === undefined ? '' : `<p>${escapeHtml(about.description)}</p>`,
    parameterTable(about),
    about.body ? `<h4>Body</h4>${mediaList(about.body)}` : '',
    '<h4>Answers</h4>',
    ...Object.entries(about.answers).map(
      ([status, { description, media = [] }]) =>
        `<p><strong>${status}</strong> ${escapeHtml(description)}</p>${mediaList(media)}`,
    ),
    problemList(about),
  ].join('\n');
};

const parameterTable = ({ parameters }: Operation): string => {
  const rows = Object.entries(parameters ?? {}).map(
    ([name, { in: where, description }]) =>
      `<tr><td>${code(name)}</td><td>${where}</td><td>${escapeHtml(description)}</td></tr>`,
  );
  return rows.length === 0
    ? ''
    : `<table><tr><th>parameter</th><th>in</th><th></th></tr>${rows.join('')}</table>`;
};

const problemList = ({ problems = [] }: Operation): string =>
  problems.length === 0
    ? ''
    : `<p>Problems of its own: ${problems.map((each) => `<a href="/problems/${each}">${code(each)}</a>`).join(', ')}.</p>`;

const mediaList = (media: readonly Media[]): string =>
  media
    .map(({ type, schema, example }) => {
      const shape = typeof schema === 'string' ? shapeLink(schema) : '';
      const line = type === NDJSON ? ', one a line' : '';
      return `<p>${code(type)}${shape && `: ${shape}${line}`}</p>${example === undefined ? '' : json(example)}`;
    })
    .join('');

const shapeLink = (name: ShapeName): string => `<a href="#shape-${name}">${name}</a>`;
