// docs/operations/drift.md, step by step, on real processes, with the service killed after every step.
import { expect } from 'chai';
import { openReceiver, type Receiver } from '#test/deploy/processes/keepers/alarm-site.ts';
import { testNeo4j } from '#test/support/neo4j.ts';
import { type DriftLoop, expectOneWayBack, openDriftLoop } from './drift-loop.ts';
import { openSite, type Site } from './site.ts';

const SECRET = Buffer.alloc(32, 5);

describe('from a drift alarm to a restored write path', function () {
  this.timeout(300_000);
  let site: Site;
  let loop: DriftLoop;
  let receiver: Receiver;

  before(async function () {
    const { url } = await testNeo4j(this);
    site = await openSite();
    receiver = await openReceiver(SECRET);
    const beside = {
      PROV_LEDGER_ALARM_WEBHOOK_URL: receiver.url,
      PROV_LEDGER_ALARM_WEBHOOK_SECRET: `whsec_${SECRET.toString('base64')}`,
    };
    loop = await openDriftLoop(site, url, { beside });
  });
  after(async () => {
    await loop?.[Symbol.asyncDispose]();
    await site?.[Symbol.asyncDispose]();
    await receiver?.[Symbol.asyncDispose]();
  });

  const times = async (line: string): Promise<number> =>
    (await loop.said()).filter((each) => each === line).length;
  const accepted = async (id: string): Promise<boolean> =>
    [200, 201].includes((await loop.publish(id)).status);

  /** `then` is what happens between any two steps. */
  const wayBack = async (then: () => Promise<void>): Promise<void> => {
    const { until, cli, graph } = loop;
    const before = (await loop.said()).length;
    const moved = async (line: string, step: string): Promise<void> => {
      const had = (await loop.said()).slice(0, before).filter((each) => each === line).length;
      await until(step, async () => (await times(line)) > had);
    };
    await graph.query("MATCH (r:Receipt {tenant: 'acme', receipt_id: $id}) SET r.decision = 'maybe'", {
      id: 'before',
    });
    await moved('attestations.AttestationRecorded divergent', 'the difference is found');
    await then();
    await moved('attestations.DriftAlarmRaised', 'the alarm is raised');
    await then();
    await moved('gates.WritePathRolledBack', 'the path is closed');
    await then();
    await until('writers are refused', async () => (await loop.publish('late')).status === 503);
    expect((await loop.publish('late')).type).to.equal('urn:prov-ledger:problem:write-path-closed');
    expect((await cli('gates', 'show', 'receipts', '--tenant', 'acme')).stdout).to.include('is closed since');
    const refused = await cli('attest', 'backfill', 'receipts', '--tenant', 'acme', '--quiet');
    expect(refused.stdout, refused.stderr).to.include('text:allow by the ledger, text:maybe in neo4j');
    expect(refused.code).to.equal(1);
    const rebuilt = await cli('graph', 'rebuild', 'receipts_graph', '--quiet');
    expect(rebuilt.code, rebuilt.stderr).to.equal(0);
    await then();
    await until('the backfill is on record', async () => {
      const { code, stdout, stderr } = await cli(
        'attest',
        'backfill',
        'receipts',
        '--tenant',
        'acme',
        '--quiet',
      );
      expect(code, `${stdout}${stderr}`).to.be.oneOf([0, 1]);
      return code === 0;
    });
    await then();
    await moved('gates.WritePathRestored', 'the path is open again');
    await then();
    await until('writers are heard', () => accepted('late'));
    expectOneWayBack(await loop.said(), before);
  };

  it('commands alone lead back, also when the service is killed after every step: nothing is lost or done twice', async () => {
    await loop.until('receipts are taken', () => accepted('before'));
    await loop.until('it is in the graph', async () => {
      const found = await loop.graph.query(
        "MATCH (r:Receipt {receipt_id: 'before'}) RETURN r.receipt_id AS id",
      );
      return found.length === 1;
    });
    await loop.until(
      'it is attested',
      async () => (await times('attestations.AttestationRecorded clean')) > 0,
    );
    await wayBack(() => loop.killed());
    await loop.until('the receiver knows that it is over', async () =>
      receiver.heard.some(({ id }) => id.endsWith('-resolved')),
    );
    // Killed between an answer and its note, a service says the same again, under the same id.
    const heard = [...new Map(receiver.heard.map(({ id, body }) => [id, JSON.parse(body)])).values()];
    expect(heard.map(({ type, data }) => `${type} ${data.status}`)).to.deep.equal([
      'drift.alarm.raised firing',
      'drift.alarm.resolved resolved',
    ]);
    expect(heard[1].data, 'of the same alarm').to.include({
      alarm_id: heard[0].data.alarm_id,
      grounds: 'attested',
      by: 'saga:drift',
    });
    await site.sound();
  });
});
