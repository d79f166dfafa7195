// HTTPS by certificates from files, made here: who gets in, who does not and how, and a renewal under way.
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type ConnectionOptions, connect } from 'node:tls';
import { expect } from 'chai';
import { readTls, type TlsFiles, watchTls } from '#deploy/tls-files.ts';
import type { GatewayUnderTest } from '#test/gateway/http/gateway-under-test.ts';
import { openGateway } from '#test/gateway/http/gateway-under-test.ts';
import { rawConnection } from '#test/gateway/http/raw-connection.ts';
import { type Certificates, type Certified, certificates } from './certificates.ts';

const NOW = Date.now();

describe('deploy/tls-files', function () {
  this.timeout(30_000);
  let ours: Certificates;
  let theirs: Certificates;
  let server: Certified;

  before(function () {
    const made = [certificates('ours'), certificates('theirs')] as const;
    if (!made[0] || !made[1]) return this.skip();
    [ours, theirs] = [made[0], made[1]];
    server = ours.issue('server');
  });
  after(() => {
    ours?.[Symbol.dispose]();
    theirs?.[Symbol.dispose]();
  });

  const files = (over: Partial<TlsFiles> = {}): TlsFiles => ({
    ...server,
    clientAuthorities: undefined,
    ...over,
  });
  const serving = async (of: TlsFiles): Promise<GatewayUnderTest & { readonly port: number }> => {
    const under = await openGateway(undefined, { tls: readTls(of, NOW), limits: { headersTimeoutMs: 500 } });
    const url = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
    expect(url).to.match(/^https:/);
    return { ...under, port: Number(new URL(url).port) };
  };
  /** The status and whose certificate was shown, or the code of what went wrong. */
  const ask = (port: number, over: ConnectionOptions = {}): Promise<string> =>
    new Promise((resolve) => {
      const asked = request(
        {
          host: '127.0.0.1',
          port,
          path: '/healthz',
          ca: readFileSync(ours.authority),
          agent: false,
          ...over,
        },
        (response) => {
          const { socket } = response;
          const shown = (
            socket as unknown as { getPeerCertificate: () => { subject: { CN: string } } }
          ).getPeerCertificate();
          response.resume().once('end', () => resolve(`${response.statusCode} by ${shown.subject.CN}`));
        },
      );
      asked.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      asked.end();
    });
  const as = ({ certificate, key }: Certified) => ({
    cert: readFileSync(certificate),
    key: readFileSync(key),
  });

  it('serve HTTPS, 1.2 and newer, and plain HTTP to operators', async () => {
    await using under = await serving(files());
    expect(await ask(under.port)).to.equal('200 by server');
    expect(await ask(under.port, { maxVersion: 'TLSv1.2' })).to.equal('200 by server');
    const old = await ask(under.port, {
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    expect(old).to.match(/^(?:ERR_SSL|ECONNRESET|EPROTO)/);
    expect(await ask(under.port, { ca: readFileSync(theirs.authority) })).to.match(/^UNABLE_TO|^SELF_SIGNED/);
    expect(await under.gateway.operators.listen({ host: '127.0.0.1', port: 0 })).to.match(/^http:/);
    expect(under.faults).to.deep.equal([]);
  });

  it('do not answer who speaks plain HTTP, nor who never ends the handshake', async () => {
    await using under = await serving(files());
    for (const bytes of ['GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n', '\x16\x03\x01', '']) {
      using raw = await rawConnection(`http://127.0.0.1:${under.port}`);
      raw.send(bytes);
      await raw.closed;
      expect(raw.received()).to.not.contain('HTTP/');
    }
    expect(await ask(under.port)).to.equal('200 by server');
  });

  it('ask for a client certificate when there is an authority for it, and let nobody in without one of it', async () => {
    await using under = await serving(files({ clientAuthorities: ours.authority }));
    expect(await ask(under.port, as(ours.issue('client')))).to.equal('200 by server');
    for (const [title, over] of [
      ['none', {}],
      ['of another authority', as(theirs.issue('stranger'))],
      ['ended', as(ours.issue('late', -1))],
    ] as const) {
      expect(await ask(under.port, over), title).to.match(/^(?:ECONNRESET|ERR_SSL_\w*|EPROTO|EPIPE)$/);
      expect(await ask(under.port, { ...over, maxVersion: 'TLSv1.2' }), title).to.match(
        /^(?:ECONNRESET|ERR_SSL_\w*|EPROTO|EPIPE)$/,
      );
    }
    expect(under.faults).to.deep.equal([]);
    expect(await ask(under.port, as(ours.issue('client2')))).to.equal('200 by server');
  });

  it('that do not fit together are refused, each with its reason', () => {
    const other = ours.issue('other');
    const text = join(ours.folder, 'text');
    writeFileSync(text, 'no PEM');
    const reasons = [
      [files({ certificate: '/nonexistent' }), /TLS_CERT_FILE cannot be read: ENOENT/],
      [files({ key: '/nonexistent' }), /TLS_KEY_FILE cannot be read: ENOENT/],
      [files({ clientAuthorities: '/nonexistent' }), /CLIENT_CA_FILE cannot be read: ENOENT/],
      [files({ certificate: text }), /holds no certificate in PEM form/],
      [files({ clientAuthorities: text }), /holds no certificate in PEM form/],
      [files({ key: text }), /holds no private key/],
      [files({ key: other.key }), /is not that of the certificate/],
      [files(ours.issue('ended', -1)), /ended on .*: renew it/],
    ] as const;
    for (const [of, reason] of reasons) expect(() => readTls(of, NOW)).to.throw(reason);
  });

  it('are taken again when they change; connections that stand go on, and what does not fit changes nothing', async () => {
    const live = { certificate: join(ours.folder, 'live.pem'), key: join(ours.folder, 'live.key') };
    const place = ({ certificate, key }: Certified): void => {
      copyFileSync(certificate, live.certificate);
      copyFileSync(key, live.key);
    };
    place(server);
    const of = files({ ...live, clientAuthorities: ours.authority });
    await using under = await serving(of);
    const events: string[] = [];
    using watch = watchTls({
      files: of,
      renew: (material) => under.gateway.renewTls(material),
      onRenewed: () => events.push('renewed'),
      onFault: (error) => events.push((error as Error).name),
      everyMs: 20,
    });
    const me = as(ours.issue('client'));
    const standing = connect({
      host: '127.0.0.1',
      port: under.port,
      ca: readFileSync(ours.authority),
      ...me,
    });
    await new Promise((resolve) => standing.once('secureConnect', resolve));
    expect(await ask(under.port, me)).to.equal('200 by server');
    place(ours.issue('renewed'));
    while (!events.includes('renewed')) await pause(20);
    expect(await ask(under.port, me)).to.equal('200 by renewed');
    expect(await ask(under.port), 'a client still needs its own').to.match(
      /^(?:ECONNRESET|ERR_SSL|EPROTO|EPIPE)/,
    );
    writeFileSync(live.key, readFileSync(server.key));
    while (!events.includes('TlsFileFault')) await pause(20);
    expect(await ask(under.port, me)).to.equal('200 by renewed');
    watch.look(true);
    expect(events.at(-1)).to.equal('TlsFileFault');
    const answered = new Promise((resolve) =>
      standing.once('data', (bytes) => resolve(String(bytes).slice(0, 15))),
    );
    standing.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    expect(await answered).to.equal('HTTP/1.1 200 OK');
    standing.destroy();
  });
});
