// A name for each request, given back in X-Request-Id and in every problem, so that a caller's report and the
// operator's log meet. A caller's own is kept when it is harmless in a log.
import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

const HARMLESS = /^[A-Za-z0-9._:-]{1,64}$/;

export const requestIds = (): ((request: { readonly headers: IncomingHttpHeaders }) => string) => {
  const process = randomBytes(6).toString('hex');
  let count = 0;
  return ({ headers }) => {
    const given = headers['x-request-id'];
    if (typeof given === 'string' && HARMLESS.test(given)) return given;
    count += 1;
    return `${process}-${count.toString(36)}`;
  };
};
