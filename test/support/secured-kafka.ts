// A broker that asks who comes: passwords over TLS on one listener, certificates on another. Its authority and its users
// are made for the test.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '#deploy/dev/java-process.ts';
import { startDevKafka } from '#deploy/dev/kafka.ts';
import type { Parts } from '#deploy/dev/parts.ts';
import { type Certificates, certificates } from '../deploy/certificates.ts';

export interface SecuredKafka extends AsyncDisposable {
  /** `host:port` of each listener. */
  readonly plain: string;
  readonly password: string;
  readonly certificate: string;
  readonly certificates: Certificates;
}

export const USER = 'ledger';
export const PASSWORD = 'correct horse';

const SCRAM = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
const PLAIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required';

/** `undefined` where there is no openssl. Throws `PartsFault`. */
export const securedKafka = async (parts: Parts): Promise<SecuredKafka | undefined> => {
  const authority = certificates('the authority of a test');
  if (!authority) return undefined;
  await using opening = new AsyncDisposableStack();
  opening.use(authority);
  const dataDir = mkdtempSync(join(tmpdir(), 'prov-ledger-kafka-'));
  opening.defer(() => rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 }));
  const { certificate, key } = authority.issue('broker');
  const keystore = join(dataDir, 'broker.pem');
  writeFileSync(keystore, readFileSync(key, 'utf8') + readFileSync(certificate, 'utf8'));
  const ports = { SASL_SSL: await freePort(), SSL: await freePort() };
  const kafka = await startDevKafka({
    parts,
    dataDir,
    secured: {
      ports,
      scram: ['SCRAM-SHA-256', 'SCRAM-SHA-512'].map((name) => `${name}=[name=${USER},password=${PASSWORD}]`),
      settings: {
        'ssl.keystore.type': 'PEM',
        'ssl.keystore.location': keystore,
        'ssl.truststore.type': 'PEM',
        'ssl.truststore.location': authority.authority,
        'listener.name.ssl.ssl.client.auth': 'required',
        'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
        'listener.name.sasl_ssl.plain.sasl.jaas.config': `${PLAIN} user_${USER}="${PASSWORD}";`,
        'listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config': SCRAM,
        'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config': SCRAM,
      },
    },
  });
  opening.defer(() => kafka.kill());
  const open = opening.move();
  return {
    plain: kafka.broker,
    password: `127.0.0.1:${ports.SASL_SSL}`,
    certificate: `127.0.0.1:${ports.SSL}`,
    certificates: authority,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};
