import { expect } from 'chai';
import type { Envelope } from '#proofs/dsse.ts';
import { machineIdentity, programIdentity } from '#replay-harness/program.ts';
import { type ReplayStatement, signReport, statementOf, verifyReport } from '#replay-harness/report.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { replayBench } from './replayed.ts';

describe('replay-harness/report', function () {
  this.timeout(60_000);
  const bench = replayBench();
  const { signer, keys } = testSigner();
  let statement: ReplayStatement;
  let envelope: Envelope;
  before(async () => {
    const result = await bench.replay(bench.generate({ events: 300 }));
    statement = statementOf({
      name: 'small.ndjson',
      result,
      about: {
        finished_at: '2026-11-21T12:00:00.000Z',
        source: { kind: 'fixture', store: 'memory' },
        settings: { workers: 0, batch_size: 1_000 },
        program: await programIdentity(),
        machine: machineIdentity(),
      },
    });
    envelope = await signReport(statement, signer);
  });

  type Predicate = ReplayStatement['predicate'];
  /** Signed by the right key, and not true. */
  const faultOf = async (change: Partial<Predicate>): Promise<string> => {
    const forged = await signReport(
      { ...statement, predicate: { ...statement.predicate, ...change } },
      signer,
    );
    const verdict = verifyReport(forged, keys);
    return verdict.ok ? 'ok' : `${verdict.fault}: ${verdict.message}`;
  };

  it('is an in-toto statement that verifies offline, and says what ran', () => {
    const verdict = verifyReport(JSON.parse(JSON.stringify(envelope)), keys);
    expect(verdict).to.include({ ok: true, kid: signer.kid });
    expect(statement._type).to.equal('https://in-toto.io/Statement/v1');
    const { program, machine, outcome } = statement.predicate;
    expect(program.lockfile).to.match(/^[0-9a-f]{64}$/);
    expect(program.source).to.match(/^[0-9a-f]{64}$/);
    expect(machine.node).to.equal(process.versions.node);
    expect(outcome.models.length).to.be.greaterThan(0);
  });

  it('does not verify with another key, nor with a changed byte', () => {
    expect(verifyReport(envelope, testSigner().keys)).to.include({ ok: false, fault: 'unknown-key' });
    const payload = Buffer.from(envelope.payload, 'base64')
      .toString()
      .replace('"verdict":"sound"', '"verdict":"sOund"');
    const changed = { ...envelope, payload: Buffer.from(payload).toString('base64') };
    expect(verifyReport(changed, keys)).to.include({ ok: false, fault: 'bad-signature' });
    expect(verifyReport({}, keys)).to.include({ ok: false, fault: 'malformed' });
  });

  it('is refused when it is signed and contradicts itself', async () => {
    const { outcome, measured } = statement.predicate;
    expect(await faultOf({ differences: ['facts: expected 1, came to 2'] })).to.match(
      /^inconsistent: its verdict is sound/,
    );
    expect(await faultOf({ outcome: { ...outcome, facts: outcome.facts + 1 } })).to.match(
      /^inconsistent: its subject/,
    );
    expect(await faultOf({ measured: { ...measured, factsPerSecond: 9e9 } })).to.match(
      /^inconsistent: its rate/,
    );
    expect(await faultOf({})).to.equal('ok');
  });

  it('is compared with what a replay comes to now', () => {
    const { outcome } = statement.predicate;
    expect(verifyReport(envelope, keys, outcome)).to.include({ ok: true });
    const models = outcome.models.map((model) => ({
      ...model,
      digest: '0'.repeat(64) as typeof model.digest,
    }));
    const verdict = verifyReport(envelope, keys, { ...outcome, models });
    expect(verdict).to.include({ ok: false, fault: 'inconsistent' });
    expect(verdict.ok ? '' : verdict.message).to.include('the digest of tenants');
  });
});
