import { expect } from 'chai';
import { openEnvelope, preAuthEncoding, sealEnvelope } from '#proofs/dsse.ts';
import { SigningFault } from '#proofs/keys/signer.ts';
import { failingOnce, testSigner } from '#test/support/test-signer.ts';

const TYPE = 'application/vnd.example+json';
const body = Buffer.from('{"a":"ä"}');

describe('proofs/dsse', () => {
  it('signs the encoding that the protocol shows in its example', () => {
    // https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md, "Test vectors".
    expect(preAuthEncoding('http://example.com/HelloWorld', Buffer.from('hello world')).toString()).to.equal(
      'DSSEv1 29 http://example.com/HelloWorld 11 hello world',
    );
  });

  it('opens what it sealed, and only as the type it was sealed as', async () => {
    const { signer, keys } = testSigner();
    const envelope = await sealEnvelope(signer, { payloadType: TYPE, body });
    const opened = openEnvelope(JSON.parse(JSON.stringify(envelope)), { payloadType: TYPE, keys });
    expect(opened).to.deep.equal({ ok: true, body, kid: signer.kid });
    const other = openEnvelope(envelope, { payloadType: 'text/plain', keys });
    expect(other).to.deep.equal({ ok: false, fault: 'other-type' });
    const renamed = { ...envelope, payloadType: 'text/plain' };
    expect(openEnvelope(renamed, { payloadType: 'text/plain', keys })).to.deep.equal({
      ok: false,
      fault: 'bad-signature',
    });
  });

  it('refuses another body, another signature, another key, and what is no envelope', async () => {
    const { signer, keys } = testSigner();
    const envelope = await sealEnvelope(signer, { payloadType: TYPE, body });
    const open = (value: unknown, trusted = keys) =>
      openEnvelope(value, { payloadType: TYPE, keys: trusted });
    const [signature] = envelope.signatures;
    const cases: readonly (readonly [unknown, string])[] = [
      [{ ...envelope, payload: Buffer.from('{"a":"b"}').toString('base64') }, 'bad-signature'],
      [{ ...envelope, signatures: [{ ...signature, sig: 'A'.repeat(86) }] }, 'bad-signature'],
      [{ ...envelope, signatures: [] }, 'malformed'],
      [{ ...envelope, payload: `${envelope.payload}!` }, 'malformed'],
      [{ ...envelope, payload: undefined }, 'malformed'],
      [null, 'malformed'],
      ['text', 'malformed'],
    ];
    for (const [value, fault] of cases)
      expect(open(value), JSON.stringify(value)).to.deep.equal({ ok: false, fault });
    expect(open(envelope, testSigner().keys)).to.deep.equal({ ok: false, fault: 'unknown-key' });
  });

  it('lets no signature out that does not verify', async () => {
    for (const [fault, code] of [
      ['unsigned', 'signer-failed'],
      ['badly-signed', 'bad-signature'],
    ] as const) {
      const signer = failingOnce(testSigner().signer, fault);
      const refused = await sealEnvelope(signer, { payloadType: TYPE, body }).catch(
        (error: unknown) => error,
      );
      expect(refused).to.be.instanceOf(SigningFault).and.have.property('code', code);
    }
  });
});
