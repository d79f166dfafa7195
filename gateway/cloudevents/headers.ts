// The binary content mode of the HTTP protocol binding for CloudEvents 1.0.2, section 3.1: attributes in headers named
// `ce-<attribute>`, the data as the body, and its media type as Content-Type.
import type { Fault } from '#schemas/event.ts';

type Headers = { readonly [name: string]: string | readonly string[] | undefined };

const PREFIX = 'ce-';
/** Whoever sends one of these means an event, and is told what is missing to it. */
const MARKS = ['ce-specversion', 'ce-id', 'ce-source', 'ce-type'] as const;

export const hasEventHeaders = (headers: Headers): boolean =>
  MARKS.some((name) => headers[name] !== undefined);

export type HeaderAttributes =
  | { readonly attributes: { readonly [name: string]: string } }
  | { readonly faults: readonly Fault[] };

/** Section 3.1.1: the Content-Type is the attribute `datacontenttype`, which must have no header of its own. */
export const attributesFromHeaders = (headers: Headers): HeaderAttributes => {
  const faults: Fault[] = [];
  const attributes: { [name: string]: string } = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(PREFIX)) continue;
    const attribute = name.slice(PREFIX.length);
    const decoded = typeof value === 'string' ? decodedValue(value) : undefined;
    if (IN_BODY.has(attribute))
      faults.push({
        pointer: `/${attribute}`,
        message: 'has no header; it is in the body and its Content-Type',
      });
    else if (decoded === undefined) faults.push({ pointer: `/${attribute}`, message: UNDECODABLE });
    else attributes[attribute] = decoded;
  }
  return faults.length > 0 ? { faults } : { attributes };
};

const IN_BODY = new Set(['data', 'data_base64', 'datacontenttype']);
const UNDECODABLE =
  'cannot be decoded; percent-encode its UTF-8 bytes, "%" itself as %25, and send nothing beyond ASCII';

// Section 3.1.3.2: quotes come off first (RFC 7230 section 3.2.6), then one round of percent-decoding, in which bytes that
// are not UTF-8 are refused.
const decodedValue = (raw: string): string | undefined => {
  if (!/^[\t -~]*$/.test(raw)) return undefined;
  const quoted = /^"((?:[^"\\]|\\.)*)"$/.exec(raw)?.[1];
  try {
    return decodeURIComponent(quoted === undefined ? raw : quoted.replaceAll(/\\(.)/g, '$1'));
  } catch {
    return undefined;
  }
};
