// The other databases of a ledger on several servers: docs/operations/sharding.md says how they come into use.
import { HOME, SHARD } from '#schemas/placements.ts';
import type { Setting, Unusable } from './setting.ts';

export interface ShardAddress {
  readonly name: string;
  readonly url: string;
}

const shards = (raw: string): readonly ShardAddress[] | Unusable => {
  const wanted = {
    fault: `give name=postgresql://user:password@host:5432/database, several with spaces between, none of them named ${HOME}`,
  };
  const all = raw.split(/\s+/).filter((each) => each !== '');
  const read = all.map((each) => ({
    name: each.slice(0, Math.max(0, each.indexOf('='))),
    url: each.slice(each.indexOf('=') + 1),
  }));
  const usable = ({ name, url }: ShardAddress): boolean =>
    SHARD.test(name) &&
    name !== HOME &&
    URL.canParse(url) &&
    /^postgres(?:ql)?:$/.test(new URL(url).protocol);
  const names = new Set(read.map(({ name }) => name));
  return read.length > 0 && names.size === read.length && read.every(usable) ? read : wanted;
};

export const shardSettings = {
  shards: {
    name: 'PROV_LEDGER_SHARDS',
    description: 'other databases that have tenants of this ledger, by name: name=postgresql://…',
    parse: shards,
    fallback: [],
    // Their URLs may hold passwords.
    show: (value) => (value.length === 0 ? 'none' : value.map(({ name }) => name).join(', ')),
  } as Setting<readonly ShardAddress[]>,
};
