// The schema "transport" has migrations of its own: a ledger without topics need not have it changed.
import type { MigrationSet } from '../migrate.ts';

export const TRANSPORT_MIGRATIONS: MigrationSet = {
  name: 'transport',
  directory: new URL('./migrations/', import.meta.url),
};
