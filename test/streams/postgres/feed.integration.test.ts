import { streamFeedContract } from '#test/contracts/stream-feed.contract.ts';
import { postgres } from './postgres-adapter.ts';

streamFeedContract(postgres);
