// What a route says of itself beside its path and its guard: the source of /openapi.json and of the page at /docs.
// Query parameters are checked against the very schemas that stand here (query.ts).
import type { ProblemCode } from './problems.ts';
import type { ShapeName } from './shapes.ts';

/** JSON Schema 2020-12. */
export type Schema = { readonly [keyword: string]: unknown };

export interface Parameter {
  readonly in: 'path' | 'query' | 'header';
  readonly description: string;
  readonly schema: Schema;
  readonly example?: string;
}

export interface Media {
  readonly type: string;
  /** A shape by its name, or what is there when it is no JSON. Of NDJSON it is the shape of a line. */
  readonly schema: ShapeName | Schema;
  readonly example?: unknown;
}

export interface AnswerKind {
  readonly description: string;
  readonly media?: readonly Media[];
  readonly headers?: { readonly [name: string]: string };
}

export type Subject =
  | 'receipts'
  | 'ledger'
  | 'flags'
  | 'attestation'
  | 'verification'
  | 'administration'
  | 'service'
  | 'documentation';

export interface Operation {
  /** Unique; generated clients name their functions after it. */
  readonly id: string;
  readonly subject: Subject;
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: { readonly [name: string]: Parameter };
  readonly body?: readonly Media[];
  /** Types of facts that it may put on record; of what is asked with POST and records nothing: none. */
  readonly records?: readonly string[];
  readonly answers: { readonly [status: number]: AnswerKind };
  /** Beside those that every route has, every guarded one, and every one with a body. */
  readonly problems?: readonly ProblemCode[];
}

export const NDJSON = 'application/x-ndjson';

/** The media type of a Content-Type header, in lower case and without parameters. */
export const mediaType = (contentType: string | readonly string[] | undefined): string =>
  typeof contentType === 'string' ? (contentType.split(';', 1)[0] ?? '').trim().toLowerCase() : '';
