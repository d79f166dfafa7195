// prov-ledger schemas check|diff|publish: the schemas of events against what was released and what the registry has.
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import {
  knownIds,
  RELEASED_FILE,
  recordText,
  released,
  withIds,
  withReleased,
} from '#schemas/registry/released.ts';
import { COMPATIBILITY, changes, type Subject, subjects } from '#schemas/registry/subjects.ts';
import { KafkaError } from '#streams/kafka/errors.ts';
import { group, leaf, type Options, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { count, table } from './output.ts';
import type { Registry } from './world.ts';

const check = (run: Run): Command =>
  leaf<Options & { readonly release?: boolean }>(
    run,
    {
      usage: 'check',
      summary: 'whether every reader can read what every release wrote; exit code 1 when one could not',
      examples: ['schemas check', 'schemas check --json', 'schemas check --release'],
      build: (command) =>
        command.option(
          '--release',
          'note what is new or changed as released, in schemas/registry/released.json: when a release is made',
        ),
    },
    async ({ output }, { release = false }) => {
      const all = changes();
      const shown = all.filter(({ kind }) => kind !== 'unchanged');
      const breaking = shown.filter(({ kind }) => kind === 'breaking');
      output.answer({ compatibility: COMPATIBILITY, subjects: all }, () =>
        shown.length === 0
          ? `${count(all.length, 'schema')} as released`
          : shown
              .map(({ subject, kind, reasons }) => [`${kind}: ${subject}`, ...reasons].join('\n  '))
              .join('\n'),
      );
      if (breaking.length > 0) {
        output.note(
          `${count(breaking.length, 'schema')} would break readers: undo the change, or give the event a new name`,
        );
        return 'refused';
      }
      if (release) {
        writeFileSync(RELEASED_FILE, recordText(withReleased(released(), subjects())));
        output.note('schemas/registry/released.json has them: check it in');
      }
      return 'ok';
    },
  );

interface Standing {
  readonly subject: string;
  /** `undefined`: the registry does not have the schema as it is. */
  readonly id: number | undefined;
}

const standing = async ({ schemas }: Registry, subject: Subject): Promise<Standing> => {
  try {
    return { subject: subject.name, id: await schemas.idOf(subject) };
  } catch (error) {
    if (error instanceof KafkaError && error.code === 'no-such-schema')
      return { subject: subject.name, id: undefined };
    throw error;
  }
};

const diff = (run: Run): Command =>
  leaf(
    run,
    {
      usage: 'diff',
      summary: 'which schemas the registry does not have as they are; exit code 1 when there are some',
      examples: ['schemas diff', 'schemas diff --json'],
    },
    async ({ world, output }) => {
      const registry = await world.registry();
      const all: Standing[] = [];
      for (const subject of subjects()) all.push(await standing(registry, subject));
      const missing = all.filter(({ id }) => id === undefined).map(({ subject }) => subject);
      output.answer({ registry: registry.url, registered: all.length - missing.length, missing }, () =>
        missing.length === 0
          ? `${registry.url} has all ${count(all.length, 'schema')}`
          : missing.map((subject) => `not registered: ${subject}`).join('\n'),
      );
      return missing.length === 0 ? 'ok' : 'refused';
    },
  );

const publish = (run: Run): Command =>
  leaf<Options & { readonly record?: boolean }>(
    run,
    {
      usage: 'publish',
      summary: 'register every schema; nothing is registered while one would break readers',
      examples: ['schemas publish', 'schemas publish --record'],
      build: (command) =>
        command.option(
          '--record',
          'note the ids, so that messages stay readable while the registry is away (PROV_LEDGER_REGISTRY_IDS_FILE)',
        ),
    },
    async ({ world, output }, { record = false }) => {
      if (changes().some(({ kind }) => kind === 'breaking'))
        throw new CliError(
          'refused',
          'breaking',
          'a schema would break readers: `prov-ledger schemas check` says which',
        );
      const registry = await world.registry();
      const ids = new Map<string, number>();
      for (const subject of subjects()) ids.set(subject.name, await registry.schemas.publish(subject));
      output.answer({ registry: registry.url, ids: Object.fromEntries(ids) }, () =>
        table(
          ['SUBJECT', 'ID'],
          Array.from(ids, ([subject, id]) => [subject, String(id)]),
        ),
      );
      if (record) output.note(recorded(registry, ids));
      return 'ok';
    },
  );

/** Only what was released: an id whose schema is in no checked-in file could not be read with it. */
const recorded = ({ url, idsFile }: Registry, ids: ReadonlyMap<string, number>): string => {
  const versions = released();
  const known = subjects().filter(
    ({ name, schema }) => JSON.stringify(versions[name]?.at(-1)) === schema && ids.has(name),
  );
  const kept = new Map(known.map(({ name }) => [name, ids.get(name) as number]));
  writeFileSync(idsFile, recordText(withIds(idsIn(idsFile), url, { ids: kept, versions })));
  const left = ids.size - kept.size;
  return `${idsFile} has ${count(kept.size, 'id')} of ${url}${left > 0 ? `; ${count(left, 'schema')} not released yet: \`prov-ledger schemas check --release\`` : ''}`;
};

const idsIn = (file: string) => {
  try {
    return knownIds(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new CliError('usage', 'registry-ids', `${file} holds no ids: ${(error as Error).message}`, {
      cause: error,
    });
  }
};

export const schemaCommands = (run: Run): Command =>
  group('schemas', 'the schemas of events, released and registered', [check(run), diff(run), publish(run)]);
