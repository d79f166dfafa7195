import { OpenFeature } from '@openfeature/server-sdk';
import { ledgerFlags } from '@prov-ledger/sdk/openfeature';

const [url, token] = process.argv.slice(2);
await OpenFeature.setProviderAndWait(ledgerFlags({ url, token }));

const client = OpenFeature.getClient();
const { value, reason, flagMetadata } = await client.getBooleanDetails('new-checkout', false, {
  targetingKey: 'user-4711',
});
console.log(`new-checkout for user-4711: ${value} (${reason}, by fact ${flagMetadata.seq})`);
await OpenFeature.close();
