// The page that verifies a receipt, as one file: the verifier stands in it, so that it works from a disk, without a
// server and without a network.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const SCRIPT = /<script type="module">([^]*?)<\/script>/;

/** `source` is the page that imports the package by its name; `sdk` the folder of the package as it was built. */
export const buildPage = async (source: string, sdk: string): Promise<string> => {
  const html = readFileSync(source, 'utf8');
  const script = SCRIPT.exec(html)?.[1];
  if (script === undefined) throw new Error(`${source} has no module to build`);
  const { outputFiles } = await build({
    stdin: { contents: script, resolveDir: sdk, loader: 'js' },
    alias: { '@prov-ledger/sdk': join(sdk, 'index.js') },
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    // Stands in HTML: `</script` in a text of the code would end it there.
    supported: { 'inline-script': false },
    charset: 'ascii',
    legalComments: 'none',
    logLevel: 'error',
  });
  const built = outputFiles[0]?.text ?? '';
  return html.replace(SCRIPT, () => `<script type="module">\n${built}</script>`);
};
