// The generators of fixtures, by domain: one line each, as the role folders have them.
import type { EventGenerator } from '#schemas/fixture.ts';
import { receiptsFixture } from '#schemas/receipts.fixture.ts';
import { tenantsFixture } from '#schemas/tenants.fixture.ts';

/** A domain whose events no fixture needs stands in `absent`, with the reason. */
export const generators = {
  tenants: tenantsFixture,
  receipts: receiptsFixture,
} as const satisfies { readonly [domain: string]: EventGenerator };
