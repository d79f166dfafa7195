#!/usr/bin/env node
// The command `prov-ledger`: the gateway's command line, under a Node that runs it.

import { launch } from './launch.mjs';

process.exitCode = await launch('deploy/processes/cli.ts', process.argv.slice(2));
