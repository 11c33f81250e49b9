import { QuaysideError } from "@quayside/core";
import { checkName, type NewJob, planFlows, storeOfId } from "@quayside/core/engine";
import { isKeyOfId } from "../bridges/trigger-key.ts";

/** The fields of an added job that `keyOf` receives. `payload` is JSON text. */
export type RoutedJob = Pick<NewJob, "queue" | "name" | "payload" | "id" | "dedupe" | "group" | "tags">;

/** Makes up the key by which a job is routed; undefined: as its own keys say. */
export type KeyOf = (job: RoutedJob) => string | undefined;

/** Jobs of one call that lie in the same shard, whatever it is: one job, or a flow. */
export interface Unit {
  /** Where they stand in the call, in order. */
  readonly indices: readonly number[];
  /** The text that decides; absent: any shard will do. */
  readonly key?: string;
  /** The key is an id, of which a generated one names its shard itself. */
  readonly byId?: boolean;
}

/**
 * Groups the jobs of a call that belong together, with their key: the one made up by `keyOf`, else the dedupe key or
 * group, else the id (of a flow: its root's).
 *
 * @throws {QuaysideError} `invalid_option` where two keys may lead to two shards.
 */
export function unitsOf(jobs: readonly NewJob[], keyOf: KeyOf | undefined): readonly Unit[] {
  return together(jobs).map((indices) => ({
    indices,
    ...keyOfUnit(
      indices.map((at) => jobs[at] as NewJob),
      keyOf,
    ),
  }));
}

/** The indices of jobs that belong together: those of one flow, and those of one id. */
function together(jobs: readonly NewJob[]): readonly (readonly number[])[] {
  const plan = planFlows(jobs);
  const units = new Map<string | number, number[]>();
  const byId = new Map<string, string | number>();
  for (const at of plan.order) {
    const { queue, id } = jobs[at] as NewJob;
    let root = at;
    for (let parent = plan.parentOf(root); parent !== undefined; parent = plan.parentOf(root)) root = parent;
    const name = id !== undefined && root === at ? JSON.stringify([queue, id]) : undefined;
    const unit = (name !== undefined && byId.get(name)) || root + 1;
    if (name !== undefined && !byId.has(name)) byId.set(name, unit);
    const indices = units.get(unit);
    if (indices) indices.push(at);
    else units.set(unit, [at]);
  }
  return [...units.values()].map((indices) => indices.sort((a, b) => a - b));
}

function keyOfUnit(jobs: readonly NewJob[], keyOf: KeyOf | undefined): Pick<Unit, "key" | "byId"> {
  const made =
    keyOf &&
    only(
      jobs.flatMap((job) => madeKey(keyOf, job)),
      "shards.keyOf",
    );
  if (made !== undefined) return { key: made };
  const own = only(
    jobs.flatMap((job) => keysOf(job)),
    "dedupe",
  );
  if (own !== undefined) return { key: own };
  const root = jobs.find(({ flow }) => flow?.parentRef === undefined);
  return root?.id === undefined ? {} : { key: root.id, byId: true };
}

/**
 * The keys of a job by which it may be routed. A dedupe key that names the same job as the id adds nothing to it: a group
 * goes before it.
 */
export const keysOf = ({ id, dedupe, group }: Pick<NewJob, "id" | "dedupe" | "group">): readonly string[] => [
  ...(dedupe && !(group && id !== undefined && isKeyOfId(dedupe.key, id)) ? [dedupe.key] : []),
  ...(group ? [group.key] : []),
];

function madeKey(keyOf: KeyOf, job: NewJob): string | readonly [] {
  const key = keyOf(job);
  return key === undefined ? [] : checkName(key, "shards.keyOf");
}

function only(keys: readonly string[], option: string): string | undefined {
  const [first, second] = new Set(keys);
  if (second === undefined) return first;
  throw new QuaysideError(
    "invalid_option",
    `A job, or a flow, of the keys ${JSON.stringify(first)} and ${JSON.stringify(second)} may belong in two shards. ` +
      "Give dedupe key and group the same text, or say by `shards.keyOf` where it goes.",
    { option, keys: [...new Set(keys)] },
  );
}

/** The shard of a unit that has a key. */
export const homeOfUnit = ({ key = "", byId }: Unit, count: number): number =>
  byId ? homeOfId(key, count) : shardOfKey(key, count);

/**
 * Returns the shard of a job with an id of its caller's, if nothing else decides: a generated id given again, where it was
 * made. One that names no shard was made by the first shard or elsewhere (in an outbox): it goes by its text.
 */
export function homeOfId(id: string, count: number): number {
  const shard = storeOfId(id);
  return shard !== undefined && shard > 0 && shard < count ? shard : shardOfKey(id, count);
}

/** A generated id that names no shard: the job may lie in the first one, which made it, or where its text says. */
export const namesNoShard = (id: string): boolean => storeOfId(id) === 0;

/**
 * The shard of a key among `count`, from 0. Fixed for good: FNV-1a of 32 bits over the key's UTF-8, then jump consistent
 * hashing (Lamping and Veach, 2014) with the splitmix32 generator. When `count` grows from m to n, a key stays or goes to
 * one of the new shards, of which (n − m) / n do.
 */
export function shardOfKey(key: string, count: number): number {
  let seed = fnv1a(key);
  let home = 0;
  for (let next = 0; next < count; ) {
    home = next;
    seed = (seed + 0x9e3779b9) | 0;
    next = Math.floor((home + 1) / ((mix(seed) + 1) / 2 ** 32));
  }
  return home;
}

const encoder = new TextEncoder();

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of encoder.encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}

/** Whole numbers from 0 to 2^32 − 1. */
function mix(seed: number): number {
  let bits = seed ^ (seed >>> 16);
  bits = Math.imul(bits, 0x21f0aaad);
  bits ^= bits >>> 15;
  bits = Math.imul(bits, 0x735a2d97);
  return (bits ^ (bits >>> 15)) >>> 0;
}
