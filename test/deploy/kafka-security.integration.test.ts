// Every setting of the way to brokers, against a broker that asks for it: what is right works, and what is wrong is told
// with the setting to correct.
import { expect } from 'chai';
import { readConfiguration } from '#deploy/configuration.ts';
import { javaParts, PartsFault } from '#deploy/dev/parts.ts';
import { brokersOf } from '#deploy/kafka-settings.ts';
import { topicsAdmin } from '#streams/kafka/admin.ts';
import { kafkaConnection } from '#streams/kafka/connect.ts';
import { KafkaError } from '#streams/kafka/errors.ts';
import { topics } from '#streams/kafka/topics.ts';
import { PASSWORD, type SecuredKafka, securedKafka, USER } from '#test/support/secured-kafka.ts';
import { type Certificates, type Certified, certificates } from './certificates.ts';

type Settings = Readonly<Record<string, string>>;

describe('deploy/kafka-settings, against a broker that asks who comes', function () {
  this.timeout(120_000);
  let kafka: SecuredKafka;
  let others: Certificates;
  let own: Certified;
  let stranger: Certified;

  before(async function () {
    const parts = await javaParts().catch((error: unknown) => {
      if (error instanceof PartsFault) return this.skip();
      throw error;
    });
    const started = await securedKafka(parts);
    const authority = certificates('another authority');
    if (!started || !authority) return this.skip();
    [kafka, others] = [started, authority];
    own = kafka.certificates.issue('client');
    stranger = others.issue('stranger');
  });
  after(async () => {
    others?.[Symbol.dispose]();
    await kafka?.[Symbol.asyncDispose]();
  });

  const named = (settings: Settings): Settings =>
    Object.fromEntries(Object.entries(settings).map(([name, value]) => [`PROV_LEDGER_KAFKA_${name}`, value]));
  const tls = (): Settings => ({ TLS: 'on', CA_FILE: kafka.certificates.authority });
  const login = (SASL: string, password = PASSWORD): Settings => ({
    SASL,
    USERNAME: USER,
    PASSWORD: password,
  });
  const shown = ({ certificate, key }: Certified): Settings => ({ CERT_FILE: certificate, KEY_FILE: key });

  /** What differs from the declaration, asked over a connection as these settings say. */
  const asked = async (settings: Settings): Promise<number> => {
    const read = readConfiguration(named(settings), () => '/nowhere');
    if (!read.ok) throw new Error(JSON.stringify(read.faults));
    const connection = kafkaConnection({ ...brokersOf(read.configuration), retries: 1 });
    await using admin = await topicsAdmin(connection);
    return (await admin.diff()).length;
  };

  const refused = async (settings: Settings): Promise<string> => {
    const error = await asked(settings).then(
      () => new Error('it was let in'),
      (cause: unknown) => cause,
    );
    if (!(error instanceof KafkaError)) throw error;
    return `${error.code}: ${error.message}`;
  };

  for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512'])
    it(`${mechanism} over TLS: the right password is let in, a wrong one is named`, async () => {
      const settings = { BROKERS: kafka.password, ...tls() };
      expect(await asked({ ...settings, ...login(mechanism) })).to.equal(topics.length);
      const wrong = await refused({ ...settings, ...login(mechanism, 'wrong') });
      expect(wrong).to.match(/^forbidden: .*check PROV_LEDGER_KAFKA_USERNAME, PROV_LEDGER_KAFKA_PASSWORD/);
    });

  it('a certificate: the right one is let in; none, and one of another authority, are told apart', async () => {
    const settings = { BROKERS: kafka.certificate, ...tls() };
    expect(await asked({ ...settings, ...shown(own) })).to.equal(topics.length);
    expect(await refused(settings)).to.match(/^tls: .*wants a certificate .*PROV_LEDGER_KAFKA_CERT_FILE/s);
    expect(await refused({ ...settings, ...shown(stranger) })).to.match(/^tls: .*does not trust/s);
    const swapped = { CERT_FILE: own.key, KEY_FILE: own.key };
    expect(await refused({ ...settings, ...swapped })).to.match(/^tls: .*is not what it should be/s);
  });

  it('an authority that is not named, or another one: the broker is not believed', async () => {
    const settings = { BROKERS: kafka.password, TLS: 'on', ...login('plain') };
    const unknown = /^tls: .*no trusted authority.*PROV_LEDGER_KAFKA_CA_FILE/s;
    expect(await refused(settings)).to.match(unknown);
    expect(await refused({ ...settings, CA_FILE: others.authority })).to.match(unknown);
  });

  it('what the listener is not: TLS, a login, or there at all', async () => {
    expect(await refused({ BROKERS: kafka.plain, ...tls() })).to.match(/^tls: .*does not speak TLS/s);
    expect(await refused({ BROKERS: kafka.plain, ...login('plain') })).to.match(
      /^forbidden: .*takes no such login/s,
    );
    const closes = /^unavailable: .*wants TLS or a login/s;
    expect(await refused({ BROKERS: kafka.password, ...login('plain') })).to.match(closes);
    expect(await refused({ BROKERS: kafka.password, ...tls() })).to.match(closes);
    expect(await refused({ BROKERS: '127.0.0.1:1' })).to.match(/^unavailable: .*PROV_LEDGER_KAFKA_BROKERS/s);
  });
});
