// The addresses of real parts that several runs of the tests share (share-parts.ts): those named by the environment, else
// those in the file that PROV_TEST_PARTS names, which may be yet to come.
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

type PartName = 'PROV_TEST_KAFKA' | 'PROV_TEST_REGISTRY' | 'PROV_TEST_NEO4J';
export type PartAddresses = Partial<Record<PartName, string>>;

/** Why there is no such part. */
export interface Missing {
  readonly missing: string;
}

/** Fetching and starting the parts takes less; after it each run starts its own. */
const THERE_WITHIN_MS = 180_000;

export const partAddresses = async (): Promise<PartAddresses> => {
  const file = process.env['PROV_TEST_PARTS'];
  const shared = file === undefined ? {} : await written(file);
  return { ...shared, ...(process.env as PartAddresses) };
};

const written = async (file: string): Promise<PartAddresses> => {
  for (const deadline = Date.now() + THERE_WITHIN_MS; !existsSync(file); await pause(100))
    if (Date.now() > deadline) return {};
  return JSON.parse(readFileSync(file, 'utf8')) as PartAddresses;
};
