import { execFileSync } from 'node:child_process';
import { expect } from 'chai';
import fc from 'fast-check';
import { BUCKETS, flagBucket, isExposed } from '#gateway/sdk/flag-bucket.ts';

describe('gateway/sdk: buckets', () => {
  it('are those of these vectors, for good: whoever has a feature today has it tomorrow', () => {
    const bucketOf = (subject: string, feature = 'new-checkout', tenant = 'acme') =>
      flagBucket({ tenant, feature, subject });
    expect([
      bucketOf('user-4711'),
      bucketOf(''),
      bucketOf('Zoë'),
      bucketOf('user-4711', 'POST:/v1/orders'),
      bucketOf('user-4711', 'new-checkout', 'globex'),
    ]).to.deep.equal([3489, 8012, 631, 3840, 3997]);
  });

  it('can be worked out with what every machine has', function () {
    const script = `h=$(printf 'prov-ledger/flag/v1\\n%s\\n%s\\n%s' "$1" "$2" "$3" | sha256sum | cut -c1-12); echo $((16#$h % 10000))`;
    let said: string;
    try {
      said = execFileSync('bash', ['-c', script, 'sh', 'acme', 'new-checkout', 'user-4711'], {
        encoding: 'utf8',
      });
    } catch {
      return this.skip();
    }
    expect(Number(said)).to.equal(
      flagBucket({ tenant: 'acme', feature: 'new-checkout', subject: 'user-4711' }),
    );
  });

  it('who has a feature at some share has it at every larger one', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(100), fc.nat(100), (subject, one, other) => {
        const bucket = flagBucket({ tenant: 'acme', feature: 'f', subject });
        const [less, more] = [Math.min(one, other), Math.max(one, other)];
        return !isExposed(bucket, less) || isExposed(bucket, more);
      }),
    );
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      expect(isExposed(bucket, 0)).to.equal(false);
      expect(isExposed(bucket, 100)).to.equal(true);
    }
  });

  it('hold about the share that was asked for, and features do not choose the same subjects', () => {
    const subjects = Array.from({ length: 20_000 }, (_, index) => `user-${index}`);
    const exposed = (feature: string) =>
      new Set(subjects.filter((subject) => isExposed(flagBucket({ tenant: 'acme', feature, subject }), 10)));
    const [one, other] = [exposed('one'), exposed('other')];
    // Five standard deviations of a binomial share are 212 and 67.
    expect(one.size).to.be.within(1_788, 2_212);
    expect([...one].filter((subject) => other.has(subject)).length).to.be.within(130, 270);
  });
});
