// The program `prov-ledger`: a process around the command line.
import { commandLine } from './command-line.ts';
import { stopSignal } from './stop-signal.ts';

const LEFT_OPEN_MS = 5_000;

process.exitCode = await commandLine({
  argv: process.argv.slice(2),
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: stopSignal(),
});
// What is done has an end, whatever a driver still holds on to: Kafka's to a socket of a broker that was killed, for one.
setTimeout(() => process.exit(), LEFT_OPEN_MS).unref();
