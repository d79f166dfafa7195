import { streamFeedContract } from '#test/contracts/stream-feed.contract.ts';
import { memory } from './memory-adapter.ts';

streamFeedContract(memory);
