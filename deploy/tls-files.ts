// Certificates from files, and again when the files change: a renewed certificate is taken without a restart. Material
// that does not fit together is refused: at the start that ends the program, later the old one stays in use.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { TlsMaterial } from '#gateway/http/tls.ts';
import type { HttpConfiguration } from './http-settings.ts';

export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  readonly clientAuthorities: string | undefined;
}

/** The names of the settings stand in the messages. */
export class TlsFileFault extends Error {
  override readonly name = 'TlsFileFault';
}

export const tlsFilesOf = (of: HttpConfiguration): TlsFiles | undefined =>
  of.tlsCertFile === undefined || of.tlsKeyFile === undefined
    ? undefined
    : { certificate: of.tlsCertFile, key: of.tlsKeyFile, clientAuthorities: of.tlsClientCaFile };

/** Throws `TlsFileFault`: a file that cannot be read, is no PEM, or does not belong to the other. */
export const readTls = (files: TlsFiles, nowMs: number): TlsMaterial => {
  const certificate = pem(files.certificate, 'PROV_LEDGER_TLS_CERT_FILE');
  const key = pem(files.key, 'PROV_LEDGER_TLS_KEY_FILE');
  const first = parsed(certificate, files.certificate);
  if (Date.parse(first.validTo) <= nowMs)
    throw new TlsFileFault(`the certificate in ${files.certificate} ended on ${first.validTo}: renew it`);
  let fits: boolean;
  try {
    fits = first.checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    const message = `${files.key} holds no private key that can be used (PROV_LEDGER_TLS_KEY_FILE: PEM, without a passphrase)`;
    throw new TlsFileFault(message, { cause });
  }
  if (!fits)
    throw new TlsFileFault(`the key in ${files.key} is not that of the certificate in ${files.certificate}`);
  if (files.clientAuthorities === undefined) return { certificate, key };
  const clientAuthorities = pem(files.clientAuthorities, 'PROV_LEDGER_TLS_CLIENT_CA_FILE');
  parsed(clientAuthorities, files.clientAuthorities);
  return { certificate, key, clientAuthorities };
};

const pem = (path: string, setting: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new TlsFileFault(
      `${setting} cannot be read: ${(cause as NodeJS.ErrnoException).code ?? ''} ${path}`,
      { cause },
    );
  }
};

const parsed = (text: string, path: string): X509Certificate => {
  try {
    return new X509Certificate(text);
  } catch (cause) {
    throw new TlsFileFault(`${path} holds no certificate in PEM form`, { cause });
  }
};

export interface WatchTls {
  readonly files: TlsFiles;
  /** Gets what was read when a file has changed. */
  readonly renew: (material: TlsMaterial) => void;
  readonly onRenewed: () => void;
  readonly onFault: (error: unknown) => void;
  /** Between two looks; 5,000 unless told. */
  readonly everyMs?: number;
}

/** Looks at the files rather than waiting to be told: links that are moved, as secrets are mounted, tell nobody. */
export const watchTls = ({
  files,
  renew,
  onRenewed,
  onFault,
  everyMs = 5_000,
}: WatchTls): Disposable & { readonly look: (force?: boolean) => void } => {
  let seen = stamp(files);
  const look = (force = false): void => {
    const now = stamp(files);
    if (now === seen && !force) return;
    seen = now;
    try {
      renew(readTls(files, Date.now()));
      onRenewed();
    } catch (error) {
      // Half-written files among them: the next change is looked at again.
      onFault(error);
    }
  };
  const timer = setInterval(() => look(), everyMs);
  timer.unref();
  return { look, [Symbol.dispose]: () => clearInterval(timer) };
};

const stamp = ({ certificate, key, clientAuthorities }: TlsFiles): string =>
  [certificate, key, ...(clientAuthorities === undefined ? [] : [clientAuthorities])]
    .map((path) => {
      const of = statSync(path, { throwIfNoEntry: false });
      return of ? `${of.ino} ${of.mtimeMs} ${of.size}` : 'none';
    })
    .join('; ');
