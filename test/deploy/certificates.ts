// Certificates for tests, made by openssl when they are needed; `undefined` where there is none.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certified {
  readonly certificate: string;
  readonly key: string;
}

export interface Certificates extends Disposable {
  /** Of this authority's own, which vouches for the others. */
  readonly authority: string;
  readonly folder: string;
  /** For 127.0.0.1 and localhost; `days` may be negative. */
  readonly issue: (name: string, days?: number) => Certified;
}

export const certificates = (name: string): Certificates | undefined => {
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-tls-'));
  const openssl = (...args: readonly string[]): void =>
    void execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const dispose = (): void => rmSync(folder, { recursive: true, force: true });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  try {
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-keyout',
      'ca.key',
      '-out',
      'ca.pem',
      '-subj',
      `/CN=${name}`,
      '-days',
      '2',
    );
  } catch (error) {
    dispose();
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return {
    authority: join(folder, 'ca.pem'),
    folder,
    issue: (of, days = 2) => {
      const [certificate, key, request] = [`${of}.pem`, `${of}.key`, `${of}.csr`];
      openssl(
        'req',
        ...newKey,
        '-keyout',
        key,
        '-out',
        request,
        '-subj',
        `/CN=${of}`,
        '-addext',
        'subjectAltName=IP:127.0.0.1,DNS:localhost',
      );
      openssl(
        'x509',
        '-req',
        '-in',
        request,
        '-CA',
        'ca.pem',
        '-CAkey',
        'ca.key',
        '-CAcreateserial',
        '-copy_extensions',
        'copy',
        '-days',
        String(days),
        '-out',
        certificate,
      );
      return { certificate: join(folder, certificate), key: join(folder, key) };
    },
    [Symbol.dispose]: dispose,
  };
};
