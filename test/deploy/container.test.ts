// The image and the compose file, held to the program: every path, setting, port and command that they name is one
// that there is. Docker itself reads them where there is one.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { readConfiguration } from '#deploy/configuration.ts';
import { CONFLUENT_PATH } from '#deploy/dev/registry.ts';
import type { Run } from '#gateway/cli/command.ts';
import { program } from '#gateway/cli/main.ts';
import { PROJECT } from '#test/docs/pages.ts';
import { rooms } from '../architecture/rules.ts';

const FOLDER = 'deploy/container';
const text = (path: string): string => readFileSync(join(PROJECT, path), 'utf8');

interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, unknown>>;
  readonly stop_grace_period?: string;
}

const compose = parse(text(`${FOLDER}/compose.yaml`), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const services = Object.entries(compose.services);

/** Instructions of the Dockerfile, continued lines joined. */
const instructions = text(`${FOLDER}/Dockerfile`)
  .replaceAll('\\\n', ' ')
  .split('\n')
  .filter((line) => /^[A-Z]+ /.test(line))
  .map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)] as const);
const allOf = (name: string): readonly string[] =>
  instructions.filter(([instruction]) => instruction === name).map(([, rest]) => rest);
const imageEnv = Object.fromEntries(
  allOf('ENV').flatMap((rest) =>
    rest
      .trim()
      .split(/\s+/)
      .map((pair) => pair.split('=') as [string, string]),
  ),
);

const usable = (env: Readonly<Record<string, string>>) => {
  const read = readConfiguration(env, () => {
    throw new Error('the data folder must be given');
  });
  if (!read.ok) throw new Error(JSON.stringify(read.faults));
  return read.configuration;
};

/** As Docker Compose puts variables in; the others must have what stands in the file. */
const interpolated = (value: string): string =>
  value
    .replace(/\$\{POSTGRES_PASSWORD(?::\?[^}]*)?\}/g, 'secret')
    .replace(/\$\{GRAFANA_PASSWORD:-(\w+)\}/g, '$1');

/** An image of Docker Hub with a version, and without the name of a host. */
const IMAGE = /^(?:[a-z0-9-]+\/)?[a-z0-9-]+:(?!latest)[a-z0-9][\w.-]*$/;

describe('deploy/container', () => {
  describe('Dockerfile', () => {
    it('copies what the program consists of, and nothing that is not there', () => {
      const copied = allOf('COPY')
        .filter((rest) => !rest.startsWith('--from'))
        .flatMap((rest) => rest.split(' ').slice(0, -1));
      for (const path of copied) expect(existsSync(join(PROJECT, path)), path).to.equal(true);
      const code = Object.keys(rooms).filter((room) => room !== 'test' && existsSync(join(PROJECT, room)));
      expect(copied).to.include.members(code);
      const allowed = text(`${FOLDER}/Dockerfile.dockerignore`).match(/^!.+$/gm) ?? [];
      expect(allowed.map((line) => line.slice(1))).to.have.members([...new Set(copied)]);
    });

    it('starts a program that is there, as a user that is not root, with settings that there are', () => {
      for (const name of ['ENTRYPOINT', 'HEALTHCHECK'])
        for (const [path = ''] of allOf(name)
          .join(' ')
          .matchAll(/deploy\/[\w./]+/g))
          expect(existsSync(join(PROJECT, path)), path).to.equal(true);
      expect(allOf('USER')).to.deep.equal(['10001:10001']);
      const { httpPort, operatorsPort, dataDir } = usable(imageEnv);
      expect(allOf('EXPOSE')).to.deep.equal([`${httpPort} ${operatorsPort}`]);
      expect(allOf('VOLUME')).to.deep.equal([dataDir]);
    });

    it('is made from images with a version, without the name of a host', () => {
      const images = allOf('FROM').map((rest) => rest.split(' ')[0] ?? '');
      expect(images).to.have.length(2);
      for (const image of images) expect(image).to.match(IMAGE);
    });
  });

  describe('compose.yaml', () => {
    it('names images with a version, and files, volumes and services that there are', () => {
      for (const [name, { image = '', build, volumes = [], depends_on: after = [] }] of services) {
        if (build) {
          expect(resolve(PROJECT, FOLDER, build.context), name).to.equal(PROJECT);
          expect(existsSync(join(PROJECT, build.dockerfile)), name).to.equal(true);
        } else expect(image, name).to.match(IMAGE);
        for (const volume of volumes) {
          const [from = ''] = volume.split(':');
          if (from.startsWith('.')) expect(existsSync(join(PROJECT, FOLDER, from)), volume).to.equal(true);
          else expect(Object.keys(compose.volumes), volume).to.include(from);
        }
        const names = Array.isArray(after) ? after : Object.keys(after);
        expect(Object.keys(compose.services)).to.include.members([...names]);
      }
    });

    it('runs commands of the program with settings that it takes', async () => {
      const { commands: all } = await program({ world: { version: '0' } } as unknown as Run);
      const commands = all.map((each) => each.name());
      const ours = services.filter(([, { build }]) => build);
      expect(ours.map(([name]) => name)).to.deep.equal(['migrate', 'ledger', 'kafka-ingest', 'kafka-relay']);
      for (const [name, { command = [], environment = {} }] of ours) {
        expect(commands, name).to.include(command[0]);
        const given = Object.entries(environment).map(([key, value]) => [key, interpolated(value)]);
        const configuration = usable({ ...imageEnv, ...Object.fromEntries(given) });
        const { hostname, username, password, pathname } = new URL(configuration.databaseUrl ?? '');
        const { POSTGRES_USER, POSTGRES_DB } = compose.services['postgres']?.environment ?? {};
        expect([hostname, username, password, pathname]).to.deep.equal([
          'postgres',
          POSTGRES_USER,
          'secret',
          `/${POSTGRES_DB}`,
        ]);
        expect(dirname(configuration.headsFile ?? '')).to.equal(configuration.dataDir);
      }
    });

    it('speaks to the broker and the registry that it starts', () => {
      const { environment = {} } = compose.services['kafka'] ?? {};
      for (const name of ['kafka-ingest', 'kafka-relay']) {
        const given = Object.entries(compose.services[name]?.environment ?? {});
        const of = usable({
          ...imageEnv,
          ...Object.fromEntries(given.map(([key, value]) => [key, interpolated(value)])),
        });
        expect(`PLAINTEXT://${of.kafkaBrokers?.join()}`, name).to.equal(
          environment['KAFKA_ADVERTISED_LISTENERS'],
        );
        const registry = new URL(of.registryUrl ?? '');
        expect(Object.keys(compose.services), name).to.include(registry.hostname);
        expect(registry.pathname, name).to.equal(CONFLUENT_PATH);
      }
    });

    it('publishes on this machine only, and gives the service the time it takes to end', () => {
      for (const [name, { ports = [] }] of services)
        for (const port of ports) expect(port, name).to.match(/^127\.0\.0\.1:(\d+):\1$/);
      const { httpPort, lameDuckSeconds, drainSeconds } = usable(imageEnv);
      const { ports, stop_grace_period: grace } = compose.services['ledger'] ?? {};
      expect(ports).to.deep.equal([`127.0.0.1:${httpPort}:${httpPort}`]);
      expect(grace).to.equal('1m');
      expect(lameDuckSeconds + drainSeconds).to.be.lessThan(60);
    });

    it('is one that Docker Compose takes', function () {
      const args = [
        'compose',
        '--file',
        join(PROJECT, FOLDER, 'compose.yaml'),
        '--profile',
        'watch',
        '--profile',
        'kafka',
        'config',
      ];
      if (spawnSync('docker', ['compose', 'version']).status !== 0) return this.skip();
      const { status, stderr } = spawnSync('docker', args, {
        encoding: 'utf8',
        env: { ...process.env, POSTGRES_PASSWORD: 'secret' },
      });
      expect(status, stderr).to.equal(0);
    });
  });

  describe('what watches it', () => {
    const mounts = (service: string): readonly (readonly string[])[] =>
      (compose.services[service]?.volumes ?? []).map((volume) => volume.split(':'));

    it('scrapes the operators’ port, and has the alert rules', () => {
      const settings = parse(text(`${FOLDER}/prometheus.yml`));
      const { operatorsPort } = usable(imageEnv);
      expect(settings.scrape_configs[0].static_configs[0].targets).to.deep.equal([`ledger:${operatorsPort}`]);
      expect(settings.rule_files).to.deep.equal(['alerts/*.yml']);
      const alerts = mounts('prometheus').find(([, at]) => at === '/etc/prometheus/alerts');
      expect(existsSync(join(PROJECT, FOLDER, alerts?.[0] ?? '-', 'prov-ledger.yml'))).to.equal(true);
    });

    it('shows the dashboard on the figures of that Prometheus', () => {
      const { datasources } = parse(text(`${FOLDER}/grafana/datasources.yaml`));
      expect(datasources[0]).to.include({ type: 'prometheus', url: 'http://prometheus:9090' });
      const { providers } = parse(text(`${FOLDER}/grafana/dashboards.yaml`));
      const boards = mounts('grafana').find(([, at]) => at === providers[0].options.path);
      const board = join(PROJECT, FOLDER, boards?.[0] ?? '-', 'prov-ledger.json');
      const { templating } = JSON.parse(readFileSync(board, 'utf8'));
      expect(templating.list[0]).to.include({ type: 'datasource', query: datasources[0].type });
    });
  });
});
