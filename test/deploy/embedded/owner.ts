// Run as a process of its own by the tests: owns the server on a data folder until it is killed.
// Arguments: data folder, template cluster or '-'. Prints one line of JSON when the server is ready.

import { connectOrStart } from '#deploy/embedded/server.ts';

const [dataDir = '', template = '-'] = process.argv.slice(2);
const server = await connectOrStart({ dataDir, ...(template === '-' ? {} : { template }) });
console.log(JSON.stringify({ url: server.url, pid: server.pid, owned: server.owned }));
process.on('SIGTERM', () => void server.stop().then(() => process.exit(0)));
setInterval(() => {}, 60_000);
