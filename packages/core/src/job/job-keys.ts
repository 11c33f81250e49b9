import { refused } from "./errors.ts";
import type { EndState, JobKey, StoredJob } from "./job-record.ts";
import * as LIMITS from "./limits.ts";

/**
 * Keys. A job is stored where it will be claimed from:
 *
 * | place | lane | rank | at |
 * |---|---|---|---|
 * | `ready` | queue | −priority | `availableAt` |
 * | `blocked` | queue/reason/value | as in ready | as in ready |
 * | `finished` | queue/state | 0 | `finishedAt` |
 *
 * then `order` (monotone in the process that minted it) and `tag` (random per process), so no two jobs share a key.
 */

export type BlockReason = "name" | "group" | "successor" | "children";

/** Escapes what structures a lane, so that no two different names can make the same one. Control characters too: `after` relies on it. */
export function escapePart(part: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is escaped
  return part.replace(/[%/\u0000-\u001f]/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

function unescapePart(part: string): string {
  if (!part.includes("%")) return part;
  return part.replace(/%([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** With the last answer kept: every job of a batch asks the same. */
function remembered(of: (name: string) => string): (name: string) => string {
  let last = "";
  let answer = of(last);
  return (name) => {
    if (name === last) return answer;
    answer = of(name);
    last = name;
    return answer;
  };
}

/** Returns the lane of the waiting jobs of a queue. */
export const readyLane = /* @__PURE__ */ remembered(escapePart);
/** Returns the lane of jobs that are blocked for one reason and value, such as one group. */
export const blockedLane = (queue: string, reason: BlockReason, value: string): string =>
  `${escapePart(queue)}/${reason}/${escapePart(value)}`;
export const finishedLane = (queue: string, state: EndState): string => `${escapePart(queue)}/${state}`;

/** The queue a key belongs to, whatever its place. */
export const queueOf = (key: JobKey): string => queueOfLane(key[1]);

const queueOfLane = /* @__PURE__ */ remembered((lane) => {
  const slash = lane.indexOf("/");
  return unescapePart(slash < 0 ? lane : lane.slice(0, slash));
});

/** Why the job at a blocked key waits, e.g. `["name", "email"]`. */
export function blockOf(key: JobKey): readonly [reason: BlockReason, value: string] | undefined {
  if (key[0] !== "blocked") return undefined;
  const [, reason, value] = key[1].split("/");
  return [reason as BlockReason, unescapePart(value ?? "")];
}

/** The state of the job at a finished key. */
export const endStateOf = (key: JobKey): EndState => key[1].slice(key[1].indexOf("/") + 1) as EndState;

/**
 * The id that spells a job's first place in line, so that it can be found without an index entry. `rank` is never −0.
 */
export function spellId(key: JobKey): string {
  const [, , rank, at, order, tag] = key;
  const upper = Math.floor(order / LOW);
  if (rank !== spelt.rank || at !== spelt.at || upper !== spelt.upper) {
    const text = `${(rank + 100).toString(36)}-${at.toString(36)}-${upper === 0 ? "" : upper.toString(36)}`;
    spelt = { rank, at, upper, text };
  }
  const low = (order % LOW).toString(36);
  return `${spelt.text}${upper === 0 ? low : low.padStart(5, "0")}-${tag}`;
}

/** Engines spell 31 bits quickly and larger numbers five times slower: the upper digits are spelled when they change. */
const LOW = 36 ** 5;

/** How the last id began, up to the last five digits of the order: jobs of a batch share it. */
let spelt = { rank: 0, at: 0, upper: -1, text: "" };

const SPELT = /^([0-9a-z]{1,2})-([0-9a-z]{1,11})-([0-9a-z]{1,11})-([0-9a-z]{8,11})$/;

/**
 * The ready key that a generated id spells, always under the queue asked (R5); undefined for ids that were not
 * generated. A caller's own id may look like this: the record found must bear the id, and the `ids` entry decides.
 */
export function decodeId(queue: string, id: string): JobKey | undefined {
  const match = SPELT.exec(id);
  if (!match) return undefined;
  const [rank, at, order] = [match[1], match[2], match[3]].map((digits) => Number.parseInt(digits as string, 36)) as [
    number,
    number,
    number,
  ];
  if (rank > 200 || !Number.isSafeInteger(at) || !Number.isSafeInteger(order)) return undefined;
  return ["ready", readyLane(queue), rank - 100, at, order, match[4] as string];
}

/** Characters of a tag that are random; what follows is the number of the store that minted it, absent for 0. */
export const TAG_LENGTH = 8;

/** How the tags of a store end: nothing for number 0. */
export const tagEnd = (store: number): string => (store === 0 ? "" : store.toString(36));

/**
 * Returns the number of the store that minted a generated id: see `StoreDriverOptions.storeNumber`. Undefined for ids that
 * do not look generated.
 */
export function storeOfId(id: string): number | undefined {
  const tag = SPELT.exec(id)?.[4];
  if (tag === undefined) return undefined;
  const end = tag.slice(TAG_LENGTH);
  const store = end === "" ? 0 : Number.parseInt(end, 36);
  // Spelled as a store spells it: no leading zeros.
  return tagEnd(store) === end ? store : undefined;
}

/**
 * The id of a child whose flow may be added again: the same each time, for it depends on the queue and id of an ancestor and
 * the position below that. It looks like a generated id, so that it leads to the store of its flow.
 */
export function childId(anchor: Pick<StoredJob, "queue" | "id">, position: number, tagEnd: string): string {
  const text = JSON.stringify([position, anchor.queue, anchor.id]);
  const [at, order, tag] = [1, 2, 3].map((seed) => digest(text, seed));
  return `0-${at}-${order}-${tag?.slice(-TAG_LENGTH)}${tagEnd}`;
}

/** 50 bits of a text, as ten digits of base 36 (cyrb53, which is fast and not for secrets). */
function digest(text: string, seed: number): string {
  let a = 0xdeadbeef ^ seed;
  let b = 0x41c6ce57 ^ seed;
  for (let index = 0; index < text.length; index++) {
    a = Math.imul(a ^ text.charCodeAt(index), 2_654_435_761);
    b = Math.imul(b ^ text.charCodeAt(index), 1_597_334_677);
  }
  a = Math.imul(a ^ (a >>> 16), 2_246_822_507) ^ Math.imul(b ^ (b >>> 13), 3_266_489_909);
  b = Math.imul(b ^ (b >>> 16), 2_246_822_507) ^ Math.imul(a ^ (a >>> 13), 3_266_489_909);
  return ((b & 0x3ffff) * 2 ** 32 + (a >>> 0)).toString(36).padStart(10, "0");
}

/** Returns true for two equal keys. */
export const sameKey = (a: JobKey, b: JobKey): boolean => a.every((part, index) => part === b[index]);

/** One string a key, for sets and maps in memory. */
export const keyText = (key: JobKey): string => key.join("\n");

/** @throws {QuaysideError} `invalid_option` when a name is empty, over `most` (256) characters or not well-formed Unicode. */
export function checkName(name: string, option: string, most: number = LIMITS.nameLength): string {
  if (typeof name !== "string" || !name || name.length > most || !name.isWellFormed()) {
    const rule = `must be a string of 1 to ${most} characters of well-formed Unicode`;
    throw refused(option, rule, name);
  }
  return name;
}

/** Checks a name that is a part of a URL's path: URLs drop `.` and `..`, however they are escaped. */
export function checkPathName(name: string, option: string): string {
  if (name === "." || name === "..") throw refused(option, "must not be . or ..", name);
  return checkName(name, option);
}
