import { modelDigest, rowForm } from '#projectors/digest.ts';
import { rowSinkContract } from '../contracts/row-sink.contract.ts';
import { acquaintance } from './acquaintance.ts';
import { ACME, GLOBEX } from './chains.ts';
import { memorySink } from './memory-sink.ts';

describe('the contract of sinks: memory', () => {
  rowSinkContract(() => {
    const { sink, rows, clear } = memorySink();
    const form = rowForm(acquaintance);
    return {
      sink,
      digest: async () =>
        modelDigest(
          Buffer.concat(
            [ACME, GLOBEX].map((tenant) => form.hashes(tenant, [...rows(acquaintance, tenant).values()])),
          ),
        ),
      clear: async () => clear(acquaintance),
    };
  });
});
