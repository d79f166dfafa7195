// Requests as a careful client sees them: an answer with all that must be the same when it is repeated, or none.
import { Agent, type IncomingMessage, request } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface Asked {
  readonly method?: 'GET' | 'POST';
  readonly path: string;
  readonly token: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The connection is given up after so many milliseconds; 60,000 unless told. */
  readonly withinMs?: number;
}

export interface HttpClient extends Disposable {
  /** Rejects when there is no whole answer: then nothing is known. */
  readonly ask: (url: string, asked: Asked) => Promise<Answer>;
}

export const httpClient = (maxSockets = 64): HttpClient => {
  const agent = new Agent({ keepAlive: true, maxSockets });
  return {
    ask: (
      url,
      { method = 'POST', path, token, type = 'application/json', headers, body, withinMs = 60_000 },
    ) =>
      new Promise((resolve, reject) => {
        const sent = request(`${url}${path}`, {
          method,
          agent,
          headers: {
            authorization: `Bearer ${token}`,
            ...(body !== undefined && { 'content-type': type, 'content-length': Buffer.byteLength(body) }),
            ...headers,
          },
        });
        const timer = setTimeout(() => sent.destroy(new Error(`no answer within ${withinMs} ms`)), withinMs);
        const fail = (error: Error): void => {
          clearTimeout(timer);
          reject(error);
        };
        sent.once('error', fail);
        sent.once('response', (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (part: string) => {
            text += part;
          });
          response.once('error', fail);
          response.once('close', () => {
            if (!response.complete) return fail(new Error('the answer was cut off'));
            clearTimeout(timer);
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text });
          });
        });
        sent.end(body);
      }),
    [Symbol.dispose]: () => agent.destroy(),
  };
};

/** What a repetition must share with the first answer. */
export const sameOf = ({ status, headers: { etag, location }, body }: Answer): string =>
  JSON.stringify([status, etag, location, body]);

/** The code of a problem document; `undefined` of anything else. */
export const problemCode = ({ headers, body }: Answer): string | undefined =>
  String(headers['content-type']).startsWith('application/problem+json')
    ? (JSON.parse(body) as { readonly code: string }).code
    : undefined;
