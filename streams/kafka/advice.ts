// What a connection that did not come about says of the settings: drivers and TLS report it in words alone.

export interface Advice {
  readonly code: 'tls' | 'forbidden' | 'unavailable';
  /** What is wrong, and what to do about it. */
  readonly text: string;
}

const TLS: readonly (readonly [words: RegExp, text: string])[] = [
  [
    /unable to (?:verify|get)|self[- ]signed/,
    'no trusted authority vouches for the certificate that the broker shows: name the file of the one that does with PROV_LEDGER_KAFKA_CA_FILE',
  ],
  [
    /certificate has expired|not yet valid/,
    "the certificate that the broker shows is not valid now: have it renewed, or set this machine's clock",
  ],
  [
    /does not match certificate/,
    'the certificate that the broker shows is for another name: write PROV_LEDGER_KAFKA_BROKERS, and what the brokers advertise, as it has them',
  ],
  [
    /alert (?:bad certificate|certificate required|handshake failure)/,
    'the broker wants a certificate and was shown none that it takes: name one with PROV_LEDGER_KAFKA_CERT_FILE and its key with PROV_LEDGER_KAFKA_KEY_FILE',
  ],
  [
    /alert (?:certificate unknown|unknown ca|certificate expired|unsupported certificate)/,
    'the broker does not trust the certificate that it was shown: name one of an authority of the cluster with PROV_LEDGER_KAFKA_CERT_FILE',
  ],
  [
    /before secure TLS connection|wrong version number|packet length too long/,
    'what answers there does not speak TLS: give the port of a listener that does, or set PROV_LEDGER_KAFKA_TLS to off',
  ],
  [
    /PEM routines|key values mismatch|asn1 encoding/,
    'a file of PROV_LEDGER_KAFKA_CA_FILE, PROV_LEDGER_KAFKA_CERT_FILE and PROV_LEDGER_KAFKA_KEY_FILE is not what it should be: each is PEM, and the key is that of the certificate',
  ],
];

const ADDRESS = 'see whether it runs, and check PROV_LEDGER_KAFKA_BROKERS';

/** `undefined` where the words say nothing of the settings. */
export const adviceFor = (name: string, type: string, message: string): Advice | undefined => {
  if (name === 'KafkaJSSASLAuthenticationError')
    return {
      code: 'forbidden',
      text: 'check PROV_LEDGER_KAFKA_USERNAME, PROV_LEDGER_KAFKA_PASSWORD and, that the user has a password of this kind, PROV_LEDGER_KAFKA_SASL',
    };
  if (/SASL_MECHANISM|ILLEGAL_SASL/.test(type) || /SASL \S+ mechanism is not supported/.test(message))
    return {
      code: 'forbidden',
      text: 'this listener takes no such login: set PROV_LEDGER_KAFKA_SASL to what it takes, or give the port of another one',
    };
  if (/AUTHORIZATION/.test(type))
    return { code: 'forbidden', text: 'grant the user the rights that docs/operations/kafka.md lists' };
  const tls = TLS.find(([words]) => words.test(message));
  if (tls) return { code: 'tls', text: tls[1] };
  if (/ENOTFOUND|ECONNREFUSED|EAI_AGAIN|EHOSTUNREACH|Connection timeout/.test(message))
    return { code: 'unavailable', text: ADDRESS };
  if (name === 'KafkaJSConnectionClosedError')
    return {
      code: 'unavailable',
      text: 'a listener that closes at once wants TLS or a login: see PROV_LEDGER_KAFKA_TLS and PROV_LEDGER_KAFKA_SASL',
    };
  return undefined;
};
