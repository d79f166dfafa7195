// The read models that are graphs.
import { changesGraph } from './changes.ts';
import type { AnyGraphProjector } from './graph.ts';
import { receiptsGraph } from './receipts.ts';

export const graphProjectors: readonly AnyGraphProjector[] = [receiptsGraph, changesGraph];
