import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Configuration, readConfiguration } from '#deploy/configuration.ts';
import { brokersOf, registryOf } from '#deploy/kafka-settings.ts';

type Given = { readonly [name: string]: string };

const prefixed = (given: Given): Given =>
  Object.fromEntries(Object.entries(given).map(([name, value]) => [`PROV_LEDGER_${name}`, value]));

const read = (given: Given): Configuration => {
  const result = readConfiguration(prefixed(given), () => '/data');
  if (!result.ok) throw new Error(JSON.stringify(result.faults));
  return result.configuration;
};

const faultsOf = (given: Given): readonly string[] => {
  const result = readConfiguration(prefixed(given), () => '/data');
  return result.ok
    ? []
    : result.faults.map(({ name, message }) => `${name.replace('PROV_LEDGER_', '')} ${message}`);
};

describe('deploy/kafka-settings', () => {
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-kafka-settings-'));
  const ca = join(folder, 'ca.pem');
  before(() => writeFileSync(ca, 'authorities'));
  after(() => rmSync(folder, { recursive: true }));

  it('reach brokers in clear, by TLS, and with a login', () => {
    expect(brokersOf(read({ KAFKA_BROKERS: 'a:9092, b.example.org:9093,[::1]:9094' }))).to.deep.equal({
      brokers: ['a:9092', 'b.example.org:9093', '[::1]:9094'],
    });
    const secured = {
      KAFKA_BROKERS: 'a:9092',
      KAFKA_PREFIX: 'test.',
      KAFKA_TLS: 'on',
      KAFKA_CA_FILE: ca,
      KAFKA_SASL: 'scram-sha-512',
      KAFKA_USERNAME: 'ada',
      KAFKA_PASSWORD: 'hunter2',
    };
    expect(brokersOf(read(secured))).to.deep.equal({
      brokers: ['a:9092'],
      topicPrefix: 'test.',
      tls: { ca: 'authorities' },
      sasl: { mechanism: 'scram-sha-512', username: 'ada', password: 'hunter2' },
    });
    expect(brokersOf(read({ KAFKA_BROKERS: 'a:1', KAFKA_TLS: 'on' }))).to.have.deep.property('tls', {});
  });

  it('show no password', () => {
    const result = readConfiguration(
      prefixed({
        KAFKA_BROKERS: 'a:9092',
        KAFKA_SASL: 'plain',
        KAFKA_USERNAME: 'ada',
        KAFKA_PASSWORD: 'hunter2',
        REGISTRY_URL: 'https://registry.example.org',
        REGISTRY_USERNAME: 'ada',
        REGISTRY_PASSWORD: 'hunter3',
      }),
      () => '/data',
    );
    expect(JSON.stringify(result.ok && result.settings)).to.not.match(/hunter/);
  });

  it('refuse what cannot be meant, and say what is missing', () => {
    expect(faultsOf({ KAFKA_BROKERS: 'nowhere' }).join()).to.match(
      /KAFKA_BROKERS is not usable: give one or more/,
    );
    expect(faultsOf({ KAFKA_BROKERS: 'a:70000' })).to.have.length(1);
    expect(faultsOf({ KAFKA_SASL: 'plain' })).to.deep.equal([
      'KAFKA_USERNAME is needed where PROV_LEDGER_KAFKA_SASL is plain',
      'KAFKA_PASSWORD is needed where PROV_LEDGER_KAFKA_SASL is plain',
    ]);
    expect(faultsOf({ KAFKA_USERNAME: 'a', KAFKA_PASSWORD: 'b' }).join()).to.match(/KAFKA_SASL is needed/);
    expect(faultsOf({ KAFKA_CA_FILE: ca }).join()).to.match(/KAFKA_TLS must be on/);
    expect(faultsOf({ KAFKA_TLS: 'on', KAFKA_CERT_FILE: ca }).join()).to.match(/KAFKA_KEY_FILE is needed/);
    expect(faultsOf({ KAFKA_TLS: 'on', KAFKA_KEY_FILE: ca }).join()).to.match(/KAFKA_CERT_FILE is needed/);
    expect(faultsOf({ KAFKA_PREFIX: 'a/b' })).to.have.length(1);
    expect(faultsOf({ REGISTRY_URL: 'http://ada:hunter2@registry' }).join()).to.match(/without credentials/);
    expect(faultsOf({ REGISTRY_PASSWORD: 'x' }).join()).to.match(/REGISTRY_USERNAME is needed/);
  });

  it('end a command that needs what is not named', () => {
    expect(() => brokersOf(read({}))).to.throw(/set PROV_LEDGER_KAFKA_BROKERS/);
    expect(() => registryOf(read({}))).to.throw(/set PROV_LEDGER_REGISTRY_URL/);
    const gone = { KAFKA_BROKERS: 'a:1', KAFKA_TLS: 'on', KAFKA_CA_FILE: join(folder, 'gone.pem') };
    expect(() => brokersOf(read(gone))).to.throw(/gone\.pem \(PROV_LEDGER_KAFKA_CA_FILE\) cannot be read/);
  });

  it('know the registry, and its ids from a file', () => {
    const ids = join(folder, 'ids.json');
    writeFileSync(ids, '{"http://r/v7":{"7":{"subject":"receipts.ReceiptRecorded","version":1}}}');
    const given = { REGISTRY_URL: 'http://r/v7/', REGISTRY_IDS_FILE: ids };
    expect(registryOf(read(given))).to.deep.equal({
      url: 'http://r/v7',
      known: { 'http://r/v7': { 7: { subject: 'receipts.ReceiptRecorded', version: 1 } } },
    });
    writeFileSync(ids, 'no json');
    expect(() => registryOf(read(given))).to.throw(
      /ids\.json \(PROV_LEDGER_REGISTRY_IDS_FILE\) cannot be used/,
    );
  });
});
