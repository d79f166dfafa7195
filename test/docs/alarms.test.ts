// docs/operations/alarms.md: its two bodies are what we send; its two programs take what we sign, and nothing else.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type AlarmNews, alarmMessage } from '#gateway/alarms/message.ts';
import { webhookHeaders } from '#gateway/alarms/webhook.ts';
import { blocksOf, page } from './pages.ts';

const secret = Buffer.alloc(32, 7);
const message = {
  id: 'alarm-1',
  body: '{"type":"drift.alarm.raised","data":{"alarm_id":"alarm-1","who":"Zoë"}}',
};

describe('docs/operations/alarms.md', function () {
  this.timeout(60_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger-alarms-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const label of ['firing', 'resolved'])
    it(`the body of an alarm that is ${label} is what a receiver gets`, () => {
      const block = blocksOf(page('docs/operations/alarms.md')).find((each) => each.label === label);
      const shown = JSON.parse(block?.text ?? '');
      const { data } = shown;
      expect(data.status).to.equal(label);
      const news: AlarmNews = {
        tenant: data.tenant,
        alarmId: data.alarm_id,
        alarm: {
          route: data.route,
          asOfSeq: data.as_of_seq,
          divergent: data.divergent,
          inARow: data.in_a_row,
          raisedAt: Date.parse(data.raised_at),
          seq: data.seq,
        },
        end: data.resolved_at && {
          route: data.route,
          grounds: data.grounds,
          by: data.by,
          reason: data.reason,
          reopenedAt: Date.parse(data.resolved_at),
          seq: data.resolved_seq,
        },
      };
      expect(JSON.parse(alarmMessage(news).body)).to.deep.equal(shown);
    });

  for (const [label, command] of [
    ['verify.mjs', process.execPath],
    ['verify.py', 'python3'],
  ] as const)
    it(`${label} takes what is ours, and refuses what was changed, is old, or is somebody else's`, function () {
      const block = blocksOf(page('docs/operations/alarms.md')).find((each) => each.label === label);
      const program = join(folder, label);
      writeFileSync(program, block?.text ?? '');
      if (spawnSync(command, ['--version']).error) return this.skip();
      const verify = (
        of: { readonly body?: string; readonly by?: Buffer; readonly agoSeconds?: number } = {},
      ) => {
        const { body = message.body, by = secret, agoSeconds = 0 } = of;
        const at = Math.floor(Date.now() / 1_000) - agoSeconds;
        const headers = webhookHeaders(message, [Buffer.alloc(24, 1), by], at);
        const { status, stdout, stderr } = spawnSync(command, [program, ...Object.values(headers)], {
          input: body,
          encoding: 'utf8',
          env: { ...process.env, WEBHOOK_SECRET: `whsec_${secret.toString('base64')}` },
        });
        return { status, said: `${stdout}${stderr}` };
      };
      const ours = verify();
      expect(ours.said.trim()).to.equal('alarm-1');
      expect(ours.status).to.equal(0);
      const refused = [
        verify({ body: message.body.replace('alarm-1', 'alarm-2') }),
        verify({ by: Buffer.alloc(32, 8) }),
        verify({ agoSeconds: 600 }),
      ];
      expect(refused.map(({ status }) => status)).to.deep.equal([1, 1, 1]);
      expect(refused.map(({ said }) => /too old|not signed with our secret/.exec(said)?.[0])).to.deep.equal([
        'not signed with our secret',
        'not signed with our secret',
        'too old',
      ]);
    });
});
