// What a cluster says of itself and of its consumer groups, for whoever looks whether everything is well.
import { askedAdmin } from './asking.ts';
import type { KafkaConnection } from './connect.ts';
import { type Span, spansOf } from './ends.ts';

export interface GroupState {
  /** As Kafka calls it: `Stable`, `PreparingRebalance`, `Empty`, `Dead` for one that it does not know. */
  readonly state: string;
  readonly members: number;
}

/** Every method throws `KafkaError`. Topics are named as the cluster calls them. */
export interface ClusterView extends AsyncDisposable {
  readonly brokers: () => Promise<number>;
  readonly spans: (topic: string) => Promise<readonly Span[]>;
  readonly group: (id: string) => Promise<GroupState>;
}

/** Throws `KafkaError`. */
export const viewCluster = async (connection: KafkaConnection): Promise<ClusterView> => {
  const { admin, asked } = await askedAdmin(connection);
  return {
    brokers: () => asked(async () => (await admin.describeCluster()).brokers.length),
    spans: (topic) => asked(() => spansOf(admin, topic)),
    group: (id) =>
      asked(async () => {
        const [group] = (await admin.describeGroups([id])).groups;
        return { state: group?.state ?? 'Dead', members: group?.members.length ?? 0 };
      }),
    [Symbol.asyncDispose]: () => admin.disconnect(),
  };
};
