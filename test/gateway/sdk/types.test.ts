// The published types are written out by hand; each is held here to what it stands for, by the compiler.

import type { Static } from '@sinclair/typebox';
import { expect } from 'chai';
import type * as spec from '#gateway/flags/spec.ts';
import type { ProblemDocument as ServiceProblem } from '#gateway/http/problem-document.ts';
import type * as sdk from '#gateway/sdk/types.ts';
import type * as bundle from '#proofs/bundle.ts';
import type * as verifier from '#proofs/verifier.ts';
import { receiptBodySchema } from '#schemas/receipts.ts';

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
const same = <A, B>(yes: Same<A, B>): void => {
  expect(yes).to.equal(true);
};

describe('gateway/sdk/types', () => {
  it('are those of the schemas, the bundle and the verifier', () => {
    same<sdk.ReceiptBody, Static<typeof receiptBodySchema>>(true);
    same<sdk.ReceiptBundle, bundle.ReceiptBundle>(true);
    same<sdk.FactDocument, bundle.FactDocument>(true);
    same<sdk.ProofDocument, bundle.ProofDocument>(true);
    same<sdk.Verification, verifier.Verification>(true);
    same<sdk.FlagSpec, spec.FlagSpec>(true);
    const problem = (of: ServiceProblem): sdk.ProblemDocument => of;
    expect(problem).to.be.a('function');
  });

  it('name every member of a receipt', () => {
    const members: Record<keyof sdk.ReceiptBody, true> = {
      id: true,
      action: true,
      actor: true,
      tenant: true,
      decision: true,
      created_at: true,
      inputs: true,
      region: true,
      kid: true,
      op_id: true,
      op_parent_id: true,
      evidence_hash: true,
      policy_version: true,
      selective_fields: true,
      proofs: true,
      ext: true,
    };
    expect(Object.keys(receiptBodySchema.properties)).to.have.members(Object.keys(members));
  });
});
