// The version of the HTTP interface: docs/decisions/0010-version-in-the-path.md. A path without it is version 1.

export const VERSION_PREFIX = '/v1';

/**
 * Takes the version off a request's URL, so that there is one route for both spellings. `versioned` are the paths
 * that have a version; under any other one the prefix is no more than a part of a path that does not exist.
 */
export const withoutVersion = (versioned: readonly string[]): ((url: string) => string) => {
  const firsts = new Set(versioned.map((path) => path.split('/')[1] ?? ''));
  return (url) => {
    if (!url.startsWith(`${VERSION_PREFIX}/`)) return url;
    const rest = url.slice(VERSION_PREFIX.length);
    return firsts.has(rest.split(/[/?]/, 2)[1] ?? '') ? rest : url;
  };
};
