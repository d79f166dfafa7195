import { streamStoreContract } from '#test/contracts/stream-store.contract.ts';
import { memory } from './memory-adapter.ts';

streamStoreContract(memory);
