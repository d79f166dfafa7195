// Questions to a cluster, whose failures are this room's own.
import type { Admin } from 'kafkajs';
import type { KafkaConnection } from './connect.ts';
import { kafkaError } from './errors.ts';

export interface AskedAdmin {
  readonly admin: Admin;
  /** What the driver throws inside is thrown as `KafkaError`. */
  readonly asked: <T>(work: () => Promise<T>) => Promise<T>;
}

const asked = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (error) {
    throw kafkaError(error);
  }
};

/** Connected; the caller disconnects it. Throws `KafkaError`. */
export const askedAdmin = async ({ kafka }: KafkaConnection): Promise<AskedAdmin> => {
  const admin = kafka.admin({ retry: { retries: 2 } });
  await asked(() => admin.connect());
  return { admin, asked };
};
