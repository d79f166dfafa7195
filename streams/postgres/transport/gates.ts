// Gates that facts go in through: while one is closed, messages whose facts would pass it are held. What decides that
// stands in the ledger itself, as the last fact of a stream; the commit names that fact, so that nothing goes in on the
// strength of a gate that has moved since it was looked at.
import type { AppendRequest } from '#streams/stream.ts';
import { revisionKey, type StreamKey } from '../reader.ts';
import type { StreamStanding } from '../together.ts';
import type { Reading } from './message.ts';

export interface GateStanding extends StreamStanding {
  /** Why nothing goes in; `undefined` while the gate is open. */
  readonly closed: string | undefined;
}

export interface Gates {
  /** The stream of the gate that such a request passes; `undefined` when it passes none. */
  readonly gateOf: (request: AppendRequest) => StreamKey | undefined;
  /** How they stand. What is known of them may answer unless they are asked anew. Throws `StreamError`. */
  readonly standing: (gates: readonly StreamKey[], anew: boolean) => Promise<readonly GateStanding[]>;
}

/** Gates by `revisionKey`. */
export type Standings = ReadonlyMap<string, GateStanding>;

export const standingsOf = async (
  gates: Gates,
  requests: Iterable<AppendRequest>,
  anew: boolean,
): Promise<Standings> => {
  const asked = new Map<string, StreamKey>();
  for (const request of requests) {
    const gate = gates.gateOf(request);
    if (gate) asked.set(revisionKey(gate), gate);
  }
  const standings = await gates.standing([...asked.values()], anew);
  return new Map(standings.map((each) => [revisionKey(each), each]));
};

/** The same reading, or why the message waits for its gate. */
export const throughGate = (
  { gateOf }: Pick<Gates, 'gateOf'>,
  standings: Standings,
  reading: Reading,
): Reading => {
  if (reading.kind === 'aside') return reading;
  const gate = gateOf(reading.request);
  const closed = gate && standings.get(revisionKey(gate))?.closed;
  return closed === undefined
    ? reading
    : { kind: 'aside', errorClass: 'write-path-closed', error: closed, waitsFor: gate };
};
