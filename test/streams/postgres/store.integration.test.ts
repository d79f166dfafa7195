import { streamStoreContract } from '#test/contracts/stream-store.contract.ts';
import { postgres } from './postgres-adapter.ts';

streamStoreContract(postgres);
