// Alarms told outside, and their ends: each once to each sink, whatever the receiver does and however many services tell them.
import type { ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { webhookSink } from '#deploy/alarm-settings.ts';
import { alarmDeliveries } from '#sagas/postgres/alarms/deliveries.ts';
import { type AlarmSite, openAlarmSite } from './alarm-site.ts';

const refused = (response: ServerResponse): void => void response.writeHead(500).end();
const hangs = (): void => undefined;
const cut = (response: ServerResponse): void => void response.destroy();
const takes = (response: ServerResponse): void => void response.writeHead(204).end();

describe('alarms told outside', function () {
  this.timeout(120_000);
  let site: AlarmSite;
  before(async () => {
    site = await openAlarmSite();
  });
  after(() => site?.[Symbol.asyncDispose]());

  const toldToBoth = (alarm: string, of?: 'resolutions') =>
    site.until(`${of ?? 'alarm'} ${alarm} is taken by both`, async () => {
      const outcomes = await site.settled(alarm, of);
      return outcomes.filter((each) => each === 'delivered').length === 2;
    });
  const lines = (text: string, alarm: string) =>
    site.logged.filter((line) => line.startsWith(text) && line.endsWith(` ${alarm}`));
  const heardIds = () => site.receiver.heard.map(({ id }) => id);
  const bodiesOf = (id: string) =>
    site.receiver.heard.filter((each) => each.id === id).map(({ body }) => body);

  it('what is history when the saga comes is told to nobody', async () => {
    await site.raise('before-the-saga');
    await using _keeper = site.keep();
    await site.raise('a-1');
    await toldToBoth('a-1');
    expect(heardIds()).to.deep.equal(['a-1']);
    const { type, timestamp, data } = JSON.parse(bodiesOf('a-1')[0] ?? '');
    expect(type).to.equal('drift.alarm.raised');
    expect(data).to.deep.equal({
      tenant: 'acme',
      route: 'receipts',
      alarm_id: 'a-1',
      status: 'firing',
      as_of_seq: 4,
      divergent: 1,
      in_a_row: 1,
      seq: 6,
      raised_at: timestamp,
    });
  });

  it('that it is over is told to who was told of it, and to nobody else', async () => {
    await using _keeper = site.keep();
    await site.restore();
    await toldToBoth('a-1', 'resolutions');
    expect(heardIds(), 'nobody knows of the other one').to.deep.equal(['a-1', 'a-1-resolved']);
    const { type, timestamp, data } = JSON.parse(bodiesOf('a-1-resolved')[0] ?? '');
    expect(type).to.equal('drift.alarm.resolved');
    expect(timestamp).to.equal(data.resolved_at);
    expect(data).to.deep.equal({
      ...JSON.parse(bodiesOf('a-1')[0] ?? '').data,
      status: 'resolved',
      resolved_at: timestamp,
      resolved_seq: 7,
      grounds: 'attested',
      by: 'saga:drift',
      reason: 'the stores agree',
    });
    expect(lines('a drift alarm is over', 'a-1')).to.have.length(1);
  });

  it('a receiver that fails and hangs is told again, in order, and once it has taken it never more', async () => {
    site.receiver.plan.push(refused, hangs, cut, takes, refused, hangs);
    await using _keeper = site.keep({ answerWithinMs: 1_500 });
    await site.raise('a-2');
    await site.restore('Ada, on call');
    await toldToBoth('a-2', 'resolutions');
    const heard = heardIds().slice(2);
    expect(heard.toSorted(), 'what was sent after the alarm was taken is its end').to.deep.equal(heard);
    expect(heard.length, 'five failures, and the two that were taken').to.be.at.least(7);
    for (const id of ['a-2', 'a-2-resolved'])
      expect(new Set(bodiesOf(id)).size, `${id} is always the same`).to.equal(1);
    expect(JSON.parse(bodiesOf('a-2-resolved')[0] ?? '').data).to.include({
      grounds: 'ordered',
      by: 'Ada, on call',
      reason: 'the second store is retired',
    });
    expect(lines('a drift alarm was raised', 'a-2')).to.have.length(1);
    expect(lines('a drift alarm is over', 'a-2')).to.have.length(1);
  });

  it('a receiver that asks to be left alone is left alone for so long, and no longer than the deadline', async () => {
    const asking = (seconds: string) => (response: ServerResponse) =>
      void response.writeHead(503, { 'retry-after': seconds }).end();
    const nextIn = async (): Promise<number> => {
      const { rows } = await site.pool.query<{ ms: number }>(
        `SELECT (extract(epoch FROM next_try_at - first_tried_at) * 1000)::float8 AS ms FROM alarms.deliveries
         WHERE alarm = 'a-5' AND sink <> 'log' AND last_fault IS NOT NULL`,
      );
      return rows[0]?.ms ?? 0;
    };
    {
      site.receiver.plan.push(asking('2'));
      await using _patient = site.keep({ deadlineMs: 600_000 });
      await site.raise('a-5');
      await site.until('it has failed', async () => (await nextIn()) > 0);
      expect(await nextIn(), 'and not in 20 ms').to.be.at.least(2_000);
      await toldToBoth('a-5');
      expect(site.receiver.times('a-5')).to.equal(2);
    }
    site.receiver.plan.push(asking('86400'));
    await using _hurried = site.keep({ deadlineMs: 1_000 });
    await site.raise('a-6');
    await toldToBoth('a-6');
  });

  it('of several services, started again and again, one tells it, and one that it is over', async () => {
    await site.restore();
    for (let start = 0; start < 3; start += 1) {
      await using _one = site.keep();
      await using _two = site.keep();
      if (start === 0) await site.raise('a-3');
      if (start === 1) await site.restore();
      if (start > 0) await toldToBoth('a-3', 'resolutions');
      else await toldToBoth('a-3');
      await pause(60);
    }
    for (const id of ['a-1', 'a-3', 'a-3-resolved', 'a-5-resolved', 'a-6-resolved'])
      expect(site.receiver.times(id), id).to.equal(1);
    expect(lines('a drift alarm was raised', 'a-3')).to.have.length(1);
    expect(lines('a drift alarm is over', 'a-3')).to.have.length(1);
  });

  it('one that died while it told an end has its place taken when its lease is over', async () => {
    const { url } = site.receiver;
    {
      await using _keeper = site.keep();
      await site.raise('a-7');
      await toldToBoth('a-7');
    }
    await site.restore();
    // Who takes it here never says what became of it, as after a SIGKILL.
    const died = alarmDeliveries(site.pool, ['log', webhookSink({ url, secrets: [] })]);
    expect((await died.take(1_000)).map(({ alarmId, end }) => [alarmId, end?.grounds])).to.deep.equal([
      ['a-7', 'attested'],
      ['a-7', 'attested'],
    ]);
    await using _next = site.keep();
    await toldToBoth('a-7', 'resolutions');
    expect(site.receiver.times('a-7-resolved')).to.equal(1);
  });

  it('after its deadline it is given up, loudly, and its end is told to nobody who has not taken it', async () => {
    const down = { url: 'http://127.0.0.1:1/', secrets: [Buffer.alloc(32)] };
    await using keeper = site.keep({ webhook: down, deadlineMs: 100 });
    await site.until('the new sink is known', async () => {
      const { rowCount } = await site.pool.query("SELECT FROM alarms.deliveries WHERE outcome = 'muted'");
      return (rowCount ?? 0) > 0;
    });
    await site.raise('a-4');
    await site.until('it is given up', async () => (await site.settled('a-4')).includes('given up'));
    expect(lines('an alarm is given up', 'a-4')).to.have.length(1);
    await site.until('the figure says so', () =>
      (keeper.figures[0]?.read() ?? []).some(
        ({ labels, value }) => labels?.['state'] === 'given_up' && value === 1,
      ),
    );
    expect(await site.settled('a-1'), 'a new sink is not told of what was before').to.deep.equal([
      'delivered',
      'delivered',
      'muted',
    ]);
    await site.restore();
    await site.until('the log has its end', () => lines('a drift alarm is over', 'a-4').length === 1);
    const { rows } = await site.pool.query("SELECT sink FROM alarms.resolutions WHERE alarm = 'a-4'");
    expect(rows).to.deep.equal([{ sink: 'log' }]);
  });
});
