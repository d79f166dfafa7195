// A problem as it is sent (RFC 9457).
import { type Problem, problemEntry } from './problems.ts';

/** The document; `requestId` names the occurrence. */
export const problemDocument = ({ code, detail, members }: Problem, requestId: string) => {
  const { status, title, todo } = problemEntry(code);
  const type = `urn:prov-ledger:problem:${code}`;
  return {
    type,
    title,
    status,
    detail,
    todo,
    instance: `urn:prov-ledger:request:${requestId}`,
    code,
    ...members,
  };
};

export type ProblemDocument = ReturnType<typeof problemDocument>;
