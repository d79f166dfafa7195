import { expect } from 'chai';
import { adviceFor } from '#streams/kafka/advice.ts';
import { kafkaError } from '#streams/kafka/errors.ts';

/** Name, type and message of the driver's error; the code, and the setting or command that is to be looked at. */
const cases: readonly (readonly [driver: readonly [string, string, string], code: string, names: string])[] =
  [
    [
      [
        'KafkaJSSASLAuthenticationError',
        '',
        'SASL PLAIN authentication failed: Invalid username or password',
      ],
      'forbidden',
      'PROV_LEDGER_KAFKA_PASSWORD',
    ],
    [
      ['KafkaJSProtocolError', 'ILLEGAL_SASL_STATE', 'Request is not valid given the current SASL state'],
      'forbidden',
      'PROV_LEDGER_KAFKA_SASL',
    ],
    [
      ['KafkaJSProtocolError', 'TOPIC_AUTHORIZATION_FAILED', 'Not authorized to access topics'],
      'forbidden',
      'docs/operations/kafka.md',
    ],
    [
      ['KafkaJSConnectionError', '', 'Connection error: self-signed certificate in certificate chain'],
      'tls',
      'PROV_LEDGER_KAFKA_CA_FILE',
    ],
    [
      ['KafkaJSConnectionError', '', 'Connection error: certificate has expired'],
      'tls',
      "set this machine's clock",
    ],
    [
      [
        'KafkaJSConnectionError',
        '',
        "Connection error: Hostname/IP does not match certificate's altnames: Host: kafka-1. is not in the cert's altnames",
      ],
      'tls',
      'PROV_LEDGER_KAFKA_BROKERS',
    ],
    [
      ['KafkaJSConnectionError', '', 'Connection error: ssl/tls alert bad certificate:SSL alert number 42'],
      'tls',
      'PROV_LEDGER_KAFKA_CERT_FILE',
    ],
    [
      ['KafkaJSConnectionError', '', 'Connection error: error:0A00010B:SSL routines::wrong version number'],
      'tls',
      'PROV_LEDGER_KAFKA_TLS to off',
    ],
    [
      [
        'KafkaJSConnectionError',
        '',
        'Failed to connect: error:05800074:x509 certificate routines::key values mismatch',
      ],
      'tls',
      'PROV_LEDGER_KAFKA_KEY_FILE',
    ],
    [
      ['KafkaJSConnectionError', '', 'Connection error: connect ECONNREFUSED 127.0.0.1:1'],
      'unavailable',
      'PROV_LEDGER_KAFKA_BROKERS',
    ],
    [['KafkaJSConnectionClosedError', '', 'Closed connection'], 'unavailable', 'PROV_LEDGER_KAFKA_SASL'],
  ];

describe('streams/kafka/advice', () => {
  for (const [[name, type, message], code, names] of cases)
    it(`${message.slice(0, 70)}: ${code}, see ${names}`, () => {
      const driver = { name, type, message };
      const retried = { name: 'KafkaJSNumberOfRetriesExceeded', message, cause: driver };
      for (const error of [kafkaError(driver), kafkaError(retried)]) {
        expect(error.code).to.equal(code);
        expect(error.message).to.include(message).and.to.include(names);
        expect(error.cause).to.be.an('object');
      }
    });

  it('says nothing of what has nothing to do with settings', () => {
    expect(adviceFor('KafkaJSProtocolError', 'NOT_LEADER_FOR_PARTITION', 'not the leader')).to.equal(
      undefined,
    );
    expect(kafkaError({ name: 'KafkaJSRequestTimeoutError', message: 'timed out' }).code).to.equal(
      'unavailable',
    );
    expect(kafkaError(new Error('what is this')).code).to.equal('unexpected');
  });
});
