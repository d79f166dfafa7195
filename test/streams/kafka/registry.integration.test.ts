import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { toAvro } from '#schemas/codec.ts';
import { released, withIds } from '#schemas/registry/released.ts';
import { type Subject, subjectOf, subjects } from '#schemas/registry/subjects.ts';
import { framed, framedId, type RegistrySettings, wireSchemas } from '#streams/kafka/registry.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';

const renamed = subjectOf('tenants.TenantRenamed') as Subject;

describe('streams/kafka/registry', () => {
  let pair: KafkaPair;
  let settings: RegistrySettings;

  before(async function () {
    pair = await kafkaPair(this);
    settings = { url: pair.registryUrl };
    for (const subject of subjects()) await wireSchemas(settings).publish(subject);
  });

  it('a published schema has one id, and what is framed with it is read by whoever learns it', async () => {
    const id = await wireSchemas(settings).idOf(renamed);
    expect(await wireSchemas(settings).publish(renamed)).to.equal(id);
    const value = framed(id, toAvro(renamed.name, { display_name: 'Acme' }, String));
    const schemas = wireSchemas(settings);
    expect(schemas.reader(framedId(value) as number)).to.equal(undefined);
    expect(await schemas.learn(id)).to.have.property('kind', 'known');
    const reader = schemas.reader(id);
    expect(reader?.type).to.equal(renamed.name);
    expect(reader?.read(value.subarray(5))).to.deep.equal({ display_name: 'Acme' });
  });

  it('a new schema is published by several at once, and has one id', async () => {
    for (let round = 0; round < 5; round += 1) {
      const name = `R${randomUUID().replaceAll('-', '')}`;
      const schema = JSON.stringify({ type: 'record', name, namespace: 'tests', fields: [] });
      const ids = await Promise.all(
        Array.from({ length: 6 }, () => wireSchemas(settings).publish({ name: `tests.${name}`, schema })),
      );
      expect(new Set(ids).size).to.equal(1);
    }
  });

  it('a schema that readers of the registered one cannot read is refused as incompatible', async () => {
    const broken = { ...renamed, schema: renamed.schema.replace('"display_name"', '"name"') };
    const error = await wireSchemas(settings)
      .publish(broken)
      .catch((failure: unknown) => failure);
    expect(error).to.have.property('code', 'incompatible');
  });

  it('an id that the registry has not is unknown; a schema of no event is unreadable', async () => {
    expect(await wireSchemas(settings).learn(4_000_000)).to.have.property('kind', 'unknown');
    const schema = JSON.stringify({ type: 'record', name: 'Foreign', namespace: 'elsewhere', fields: [] });
    const id = await wireSchemas(settings).publish({ name: 'elsewhere.Foreign', schema });
    expect(await wireSchemas(settings).learn(id)).to.have.property('kind', 'unreadable');
    const unregistered = { name: 'tests.Never', schema: renamed.schema };
    const error = await wireSchemas(settings)
      .idOf(unregistered)
      .catch((failure: unknown) => failure);
    expect(error).to.have.property('code', 'no-such-schema');
  });

  it('while the registry is away, ids known of it go on being read, those known of another do not', async () => {
    const id = await wireSchemas(settings).idOf(renamed);
    const away = { url: 'http://127.0.0.1:9/apis/ccompat/v7' };
    const known = withIds({}, away.url, { ids: new Map([[renamed.name, id]]), versions: released() });
    const elsewhere = withIds({}, 'http://other', {
      ids: new Map([[renamed.name, id]]),
      versions: released(),
    });
    const schemas = wireSchemas({ ...away, known });
    expect(await schemas.learn(id)).to.have.nested.property('reader.type', renamed.name);
    expect(await schemas.idOf(renamed)).to.equal(id);
    expect(await wireSchemas({ ...away, known: elsewhere }).learn(id)).to.have.property(
      'kind',
      'unavailable',
    );
    const error = await wireSchemas({ ...away, known: elsewhere })
      .idOf(renamed)
      .catch((failure: unknown) => failure);
    expect(error).to.have.property('code', 'registry-unavailable');
  });
});
