// Changes of the schema are the owner's. The pool's connections run as the projecting role; for such a change they step
// back to the user that logged in.
import { StreamError } from '#streams/errors.ts';
import {
  type Client,
  isConnectionFailure,
  type Pool,
  sqlState,
  streamError,
  transaction,
} from '#streams/postgres/connect.ts';

/** One transaction as the user that logged in. Throws `StreamError`: `forbidden` when that user does not own the schema. */
export const asOwner = async <T>(pool: Pool, work: (client: Client) => Promise<T>): Promise<T> => {
  try {
    return await transaction(pool, async (client) => {
      await client.query('SET LOCAL ROLE NONE');
      return await work(client);
    });
  } catch (error) {
    if (sqlState(error) === '42501')
      throw new StreamError(
        'forbidden',
        `PostgreSQL refused (${(error as Error).message}): tables are made and dropped by the owner of the schema; let DATABASE_URL name that user`,
        { cause: error },
      );
    // What the work itself says stays as it is.
    throw error instanceof Error && ('severity' in error || isConnectionFailure(error))
      ? streamError(error)
      : error;
  }
};
