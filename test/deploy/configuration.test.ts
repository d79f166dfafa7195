import { resolve } from 'node:path';
import { expect } from 'chai';
import { webhookOf } from '#deploy/alarm-settings.ts';
import { DEFAULT_PORT, readConfiguration } from '#deploy/configuration.ts';

const read = (env: Record<string, string>) => readConfiguration(env, () => '/srv/ledger');

const faultsOf = (env: Record<string, string>): readonly string[] => {
  const result = read(env);
  return result.ok ? [] : result.faults.map(({ name }) => name);
};

describe('deploy/configuration', () => {
  it('needs nothing', () => {
    const result = read({ PATH: '/bin', PROV_TEST_DATABASE_URL: 'of the tests' });
    expect(result.ok && result.configuration).to.deep.equal({
      databaseUrl: undefined,
      dataDir: '/srv/ledger',
      keysDir: '/srv/ledger/keys',
      httpHost: '127.0.0.1',
      httpPort: DEFAULT_PORT,
      httpPortGiven: false,
      poolSize: 10,
      storeSeconds: 10,
      alarmWebhookUrl: undefined,
      alarmWebhookSecret: undefined,
      alarmDeadlineSeconds: 86_400,
      prometheusUrl: undefined,
      prometheusAuthorization: undefined,
      workerLeaseSeconds: 10,
      logLevel: 'info',
      headsFile: undefined,
      logFormat: 'auto',
      metricsTenants: 20,
      lameDuckSeconds: 0,
      drainSeconds: 10,
      operatorsHost: '127.0.0.1',
      operatorsPort: 7177,
      operatorsPortGiven: false,
      httpConnections: 5_000,
      headersSeconds: 10,
      requestSeconds: 120,
      shards: [],
      idleSeconds: 65,
      kafkaBrokers: undefined,
      kafkaTls: 'off',
      kafkaCaFile: undefined,
      kafkaCertFile: undefined,
      kafkaKeyFile: undefined,
      kafkaSasl: 'none',
      kafkaUsername: undefined,
      kafkaPassword: undefined,
      kafkaPrefix: undefined,
      kafkaGroup: 'prov-ledger',
      workerFeed: 'postgres',
      kafkaReplicas: undefined,
      registryUrl: undefined,
      registryUsername: undefined,
      registryPassword: undefined,
      registryIdsFile: undefined,
      tlsCertFile: undefined,
      tlsKeyFile: undefined,
      tlsClientCaFile: undefined,
      oidcIssuer: undefined,
      oidcAudience: undefined,
      oidcJwksUrl: undefined,
      oidcAlgorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
      oidcClockSeconds: 30,
      oidcTenantClaim: 'tenant',
      oidcScopeClaim: 'scope',
      oidcTenants: new Map(),
      oidcScopes: new Map(),
      neo4jUrl: undefined,
      neo4jUser: undefined,
      neo4jPassword: undefined,
      neo4jDatabase: undefined,
      attestSeconds: 60,
      rateLimit: undefined,
      rateLimits: new Map(),
      queueFacts: 50_000,
      queueMib: 256,
    });
  });

  it('takes what is given; the keys follow the data folder', () => {
    const result = read({
      DATABASE_URL: 'postgresql://u:p@db/x',
      PROV_LEDGER_DATA_DIR: 'here',
      PROV_LEDGER_HTTP_PORT: '0',
      PROV_LEDGER_LOG_LEVEL: 'warn',
      PROV_LEDGER_HTTP_HOST: '::',
    });
    expect(result.ok && result.configuration).to.deep.include({
      databaseUrl: 'postgresql://u:p@db/x',
      dataDir: resolve('here'),
      keysDir: resolve('here/keys'),
      httpPort: 0,
      httpPortGiven: true,
      logLevel: 'warn',
    });
  });

  it('an empty text is no text', () => {
    expect(faultsOf({ DATABASE_URL: '', PROV_LEDGER_HTTP_PORT: '' })).to.deep.equal([]);
  });

  it('lists every fault at once, also a misspelt name', () => {
    const env = {
      DATABASE_URL: 'mysql://x',
      PROV_LEDGER_HTTP_PORT: '70000',
      PROV_LEDGER_POOL_SIZE: '1',
      PROV_LEDGER_LOG_LEVEL: 'loud',
      PROV_LEDGER_HTTP_HOST: 'a b',
      PROV_LEDGER_DATADIR: '/x',
    };
    expect(faultsOf(env)).to.have.members(Object.keys(env));
  });

  it('takes the address of a graph without a password in it, and a user only with one', () => {
    const result = read({ NEO4J_URL: 'bolt://db:7687', NEO4J_USER: 'ada', NEO4J_PASSWORD: 'hunter4' });
    if (!result.ok) throw new Error(JSON.stringify(result.faults));
    expect(result.configuration).to.include({ neo4jUrl: 'bolt://db:7687', neo4jPassword: 'hunter4' });
    expect(JSON.stringify(result.settings)).to.not.match(/hunter/);
    expect(faultsOf({ NEO4J_URL: 'http://db:7474' })).to.deep.equal(['NEO4J_URL']);
    expect(faultsOf({ NEO4J_URL: 'bolt://ada:hunter@db' })).to.deep.equal(['NEO4J_URL']);
    expect(faultsOf({ NEO4J_USER: 'ada' })).to.deep.equal(['NEO4J_PASSWORD']);
  });

  it('takes a webhook for alarms with its secret, and shows neither', () => {
    const [url, secret] = ['https://hooks.example.org/T0/hunter5', `whsec_${'hunter67'.repeat(4)}`];
    const given = { PROV_LEDGER_ALARM_WEBHOOK_URL: url, PROV_LEDGER_ALARM_WEBHOOK_SECRET: secret };
    const result = read(given);
    if (!result.ok) throw new Error(JSON.stringify(result.faults));
    expect(webhookOf(result.configuration)?.secrets.map(({ length }) => length)).to.deep.equal([24]);
    expect(JSON.stringify(result.settings)).to.not.match(/hunter/);
    const both = read({ ...given, PROV_LEDGER_ALARM_WEBHOOK_SECRET: `${secret}, ${secret}` });
    expect(both.ok && webhookOf(both.configuration)?.secrets.length).to.equal(2);
    const URL_NAME = 'PROV_LEDGER_ALARM_WEBHOOK_URL';
    const SECRET_NAME = 'PROV_LEDGER_ALARM_WEBHOOK_SECRET';
    expect(faultsOf({ [URL_NAME]: url })).to.deep.equal([SECRET_NAME]);
    expect(faultsOf({ ...given, [URL_NAME]: 'http://hooks.example.org/' })).to.deep.equal([URL_NAME]);
    expect(faultsOf({ ...given, [URL_NAME]: 'http://127.0.0.1:9000/' })).to.deep.equal([]);
    for (const bad of ['hunter', 'whsec_c2hvcnQ=', `whsec_${'A'.repeat(100)}`, `${secret},whsec_x`])
      expect(faultsOf({ ...given, [SECRET_NAME]: bad }), bad).to.deep.equal([SECRET_NAME]);
  });

  it('shows no secret', () => {
    const result = read({ DATABASE_URL: 'postgresql://u:hunter2@db/x?sslpassword=hunter3' });
    const shown = JSON.stringify(result.ok && result.settings);
    expect(shown)
      .to.contain('u:***@db')
      .and.not.to.match(/hunter/);
  });
});
