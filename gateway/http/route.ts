// The law of gateway/http: how a request becomes an answer.
//
// A route says, beside its path, who may take it: `guard` is a scope, or the reason why it is open to everybody. A
// handler is a function from plain data to plain data; it knows nothing of the web framework, and answers expected
// trouble with a problem of the catalogue. Codes of the transport (201, 409) exist in this folder only.
import type { Readable } from 'node:stream';
import type { Caller } from './auth.ts';
import type { Operation } from './operation.ts';
import { problemDocument } from './problem-document.ts';
import { type Problem, problemEntry } from './problems.ts';
import type { Scope } from './tokens.ts';

/** A request as handlers see it. */
export interface Call {
  readonly params: { readonly [name: string]: string };
  /** Parameters behind the `?`; a list when one was given twice. */
  readonly query: { readonly [name: string]: string | readonly string[] };
  readonly headers: { readonly [name: string]: string | readonly string[] | undefined };
  /** A whole body of `application/json`, the stream of an `application/x-ndjson` one, or none. */
  readonly body: Buffer | Readable | undefined;
  readonly requestId: string;
}

export interface Reply {
  readonly status: number;
  readonly type: string;
  readonly headers?: { readonly [name: string]: string };
  readonly body: string | Readable;
}

type Answer = Reply | Promise<Reply>;

interface Place {
  readonly method: 'GET' | 'POST';
  /** `{name}` stands for one segment. */
  readonly path: string;
  /** What it takes and answers, for /openapi.json and /docs. */
  readonly about: Operation;
  /** Of a whole body; 1 MiB unless told. */
  readonly bodyBytesMax?: number;
  /** Stands outside the versions of the interface (version.ts). */
  readonly unversioned?: true;
}

export interface OpenRoute extends Place {
  /** Why nobody needs to be kept out. */
  readonly guard: { readonly open: string };
  readonly handle: (call: Call) => Answer;
}

export interface ScopedRoute extends Place {
  readonly guard: { readonly scope: Scope };
  readonly handle: (call: Call, caller: Caller) => Answer;
}

/** Reached through the address for operators only; a server for callers does not take it. */
export interface OperatorRoute extends Place {
  /** Why callers have no business with it. */
  readonly guard: { readonly operators: string };
  readonly handle: (call: Call) => Answer;
}

/** What callers reach. */
export type Route = OpenRoute | ScopedRoute;
export type MountableRoute = Route | OperatorRoute;
export type Guard = MountableRoute['guard'];

export const JSON_TYPE = 'application/json; charset=utf-8';
export const NDJSON_TYPE = 'application/x-ndjson; charset=utf-8';

export const jsonReply = (value: unknown, status = 200, headers?: Reply['headers']): Reply => {
  const body = JSON.stringify(value);
  return headers ? { status, type: JSON_TYPE, headers, body } : { status, type: JSON_TYPE, body };
};

export const problemReply = (problem: Problem, requestId: string): Reply => {
  const { status, retryAfter } = problemEntry(problem.code);
  const headers: { [name: string]: string } = {
    'cache-control': 'no-store',
    link: `</problems/${problem.code}>; rel="help"`,
  };
  // Some know better than the catalogue when there is room again.
  const seconds = Number(problem.members?.['retry_after'] ?? retryAfter ?? 0);
  if (seconds > 0) headers['retry-after'] = String(seconds);
  // RFC 6750 section 3: the challenge, and why the token was not taken.
  if (status === 401)
    headers['www-authenticate'] =
      problem.code === 'token-missing' ? 'Bearer' : 'Bearer error="invalid_token"';
  if (problem.code === 'scope-missing')
    headers['www-authenticate'] =
      `Bearer error="insufficient_scope", scope="${String(problem.members?.['scope'])}"`;
  return {
    status,
    type: 'application/problem+json; charset=utf-8',
    headers,
    body: JSON.stringify(problemDocument(problem, requestId)),
  };
};
