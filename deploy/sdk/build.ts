// node deploy/launch.mjs deploy/sdk/build.ts [folder]
//
// Builds gateway/sdk into the package that is published as @prov-ledger/sdk: JavaScript, since Node strips no types
// under node_modules, and a .d.ts beside each file. What several entries share is in chunks of its own, so that one
// AsyncLocalStorage serves them all. Where the code that reads bundles asks for Node's Buffer it gets web/buffer.ts.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { buildPage } from './page.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '');
const SOURCE = join(PROJECT, 'gateway/sdk');
const NODE_ENTRIES = ['spool', 'kafka', 'operation', 'express', 'fastify', 'openfeature', 'attested'];

const errorsOutside: Plugin = {
  name: 'errors-outside',
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\.\/errors\.ts$/ }, () => ({ path: './errors.js', external: true })),
};

/** Empties `folder` and puts the package there. */
export const buildSdk = async (folder: string): Promise<void> => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const shared = {
    absWorkingDir: PROJECT,
    outdir: folder,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    legalComments: 'none',
    logLevel: 'error',
  } as const;
  const buffer = join(SOURCE, 'web/buffer.ts');
  await build({
    ...shared,
    // ClientError is one class for every entry, so that `instanceof` holds across them.
    entryPoints: ['index', 'errors'].map((entry) => join(SOURCE, `${entry}.ts`)),
    platform: 'browser',
    splitting: true,
    chunkNames: 'shared-[hash]',
    alias: { 'node:buffer': buffer },
    inject: [buffer],
  });
  await build({
    ...shared,
    entryPoints: NODE_ENTRIES.map((entry) => join(SOURCE, `${entry}.ts`)),
    platform: 'node',
    splitting: true,
    chunkNames: 'shared-[hash]',
    plugins: [errorsOutside],
    external: ['@openfeature/server-sdk', 'kafkajs'],
  });
  declarations(folder);
  // Not called package.json in the sources: there it would begin a package, in which `#proofs/...` means nothing.
  cpSync(join(SOURCE, 'manifest.json'), join(folder, 'package.json'));
  cpSync(join(PROJECT, 'LICENSE'), join(folder, 'LICENSE'));
  cpSync(join(PROJECT, 'docs/sdk.md'), join(folder, 'README.md'));
  const page = await buildPage(join(SOURCE, 'examples/verify.html'), folder);
  writeFileSync(join(folder, 'verify.html'), page);
};

const declarations = (folder: string): void => {
  const out = mkdtempSync(join(tmpdir(), 'prov-ledger-sdk-'));
  try {
    const tsc = join(PROJECT, 'node_modules/typescript/bin/tsc');
    execFileSync(process.execPath, [tsc, '-p', join(SOURCE, 'tsconfig.json'), '--outDir', out], {
      stdio: 'inherit',
    });
    const made = join(out, 'gateway/sdk');
    const wanted = new Map<string, string>();
    const take = (name: string): void => {
      if (wanted.has(name)) return;
      const text = readFileSync(join(made, `${name}.d.ts`), 'utf8');
      wanted.set(name, text.replaceAll(/(from '\.\/[\w-]+)\.ts'/g, "$1.js'"));
      for (const [, other = ''] of text.matchAll(/(?:from |import\()['"]\.\/([\w-]+)\.ts['"]/g)) take(other);
    };
    for (const entry of ['index', ...NODE_ENTRIES]) take(entry);
    for (const [name, text] of wanted) writeFileSync(join(folder, `${name}.d.ts`), text);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = resolve(process.argv[2] ?? join(PROJECT, '.data/sdk'));
  await buildSdk(folder);
  console.log(
    `@prov-ledger/sdk is in ${folder}; ${join(folder, 'verify.html')} verifies a receipt in a browser`,
  );
}
