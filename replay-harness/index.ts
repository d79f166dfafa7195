// The generators of fixtures, by domain: one line each, as the role folders have them.
import { attestationsFixture } from '#schemas/attestations.fixture.ts';
import type { EventGenerator } from '#schemas/fixture.ts';
import { flagsFixture } from '#schemas/flags.fixture.ts';
import { gatesFixture } from '#schemas/gates.fixture.ts';
import { messagesFixture } from '#schemas/messages.fixture.ts';
import { placementsFixture } from '#schemas/placements.fixture.ts';
import { projectionsFixture } from '#schemas/projections.fixture.ts';
import { receiptsFixture } from '#schemas/receipts.fixture.ts';
import { tenantsFixture } from '#schemas/tenants.fixture.ts';
import { timersFixture } from '#schemas/timers.fixture.ts';

export const generators = {
  tenants: tenantsFixture,
  receipts: receiptsFixture,
  messages: messagesFixture,
  projections: projectionsFixture,
  attestations: attestationsFixture,
  gates: gatesFixture,
  placements: placementsFixture,
  flags: flagsFixture,
  timers: timersFixture,
} as const satisfies { readonly [domain: string]: EventGenerator };

/** Domains whose events no fixture needs, and why. */
export const absent = {} as const satisfies { readonly [domain: string]: string };
