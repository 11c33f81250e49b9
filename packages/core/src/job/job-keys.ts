import { refused } from "./errors.ts";
import type { EndState, JobKey, StoredJob } from "./job-record.ts";
import * as LIMITS from "./limits.ts";

/**
 * The reason why a job is blocked.
 *
 * A job is stored under a key that is its position in the queue:
 *
 * | place | lane | rank | at |
 * |---|---|---|---|
 * | `ready` | queue | −priority | `availableAt` |
 * | `blocked` | queue/reason/value | as in ready | as in ready |
 * | `finished` | queue/state | number of the end | `finishedAt` |
 *
 * then `order` (increases within a process) and `tag` (random per process), so that no two jobs have the same key.
 */

export type BlockReason = "name" | "group" | "successor" | "children";

/**
 * Escapes the separators of a lane, so that different names give different lanes. Also escapes control characters, on
 * which `after` relies.
 */
export function escapePart(part: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is escaped
  return part.replace(/[%/\u0000-\u001f]/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

function unescapePart(part: string): string {
  if (!part.includes("%")) return part;
  return part.replace(/%([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Returns `of` with a cache of its last result: all jobs of a batch have the same queue. */
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

/** Returns the lane of a queue's waiting jobs. */
export const readyLane = /* @__PURE__ */ remembered(escapePart);
/** Returns the lane of a queue's jobs that are blocked for the same reason and value, such as one group. */
export const blockedLane = (queue: string, reason: BlockReason, value: string): string =>
  `${escapePart(queue)}/${reason}/${escapePart(value)}`;
export const finishedLane = (queue: string, state: EndState): string => `${escapePart(queue)}/${state}`;

/** Returns the queue of a key in any place. */
export const queueOf = (key: JobKey): string => queueOfLane(key[1]);

const queueOfLane = /* @__PURE__ */ remembered((lane) => {
  const slash = lane.indexOf("/");
  return unescapePart(slash < 0 ? lane : lane.slice(0, slash));
});

/** Returns the reason and value of a blocked key, for example `["name", "email"]`. */
export function blockOf(key: JobKey): readonly [reason: BlockReason, value: string] | undefined {
  if (key[0] !== "blocked") return undefined;
  const [, reason, value] = key[1].split("/");
  return [reason as BlockReason, unescapePart(value ?? "")];
}

/** Returns the state of a job from its key in `finished`. */
export const endStateOf = (key: JobKey): EndState => key[1].slice(key[1].indexOf("/") + 1) as EndState;

/**
 * Returns the generated id of a job: its first key as text, so that the job is found without an index. `rank` is never
 * −0.
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

/**
 * Value of `order` at which it is split into upper and lower digits. JavaScript engines convert 31-bit integers fast
 * and larger ones five times slower, so the upper digits are converted only when they change.
 */
const LOW = 36 ** 5;

/**
 * The first part of the id that was spelt last, up to the last five digits of `order`; the jobs of a batch share it.
 */
let spelt = { rank: 0, at: 0, upper: -1, text: "" };

const SPELT = /^([0-9a-z]{1,2})-([0-9a-z]{1,11})-([0-9a-z]{1,11})-([0-9a-z]{8,11})$/;

/**
 * Returns the ready key that a generated id contains, with the given queue (R5); undefined for other ids. A caller's
 * own id may look generated, so a caller must check that the record at the key has the id.
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

/**
 * Number of random characters of a tag. The number of the store that generated the tag follows them, unless it is 0.
 */
export const TAG_LENGTH = 8;

/** Returns the end of the tags that a store generates: its number as text, empty for 0. */
export const tagEnd = (store: number): string => (store === 0 ? "" : store.toString(36));

/**
 * Returns the number of the store that generated an id: see `StoreDriverOptions.storeNumber`. Undefined for ids that do
 * not look generated.
 */
export function storeOfId(id: string): number | undefined {
  const tag = SPELT.exec(id)?.[4];
  if (tag === undefined) return undefined;
  const end = tag.slice(TAG_LENGTH);
  const store = end === "" ? 0 : Number.parseInt(end, 36);
  // A store writes its number without leading zeros.
  return tagEnd(store) === end ? store : undefined;
}

/**
 * Returns the id of a child in a flow that may be added again: computed from the queue and id of an ancestor (`anchor`)
 * and the child's position below it. It looks generated, so that it contains the number of the store of its flow.
 */
export function childId(anchor: Pick<StoredJob, "queue" | "id">, position: number, tagEnd: string): string {
  const text = JSON.stringify([position, anchor.queue, anchor.id]);
  const [at, order, tag] = [1, 2, 3].map((seed) => digest(text, seed));
  return `0-${at}-${order}-${tag?.slice(-TAG_LENGTH)}${tagEnd}`;
}

/** Returns a 50-bit hash as ten digits of base 36 (cyrb53, fast, not cryptographic). */
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

/** Returns whether two keys are equal. */
export const sameKey = (a: JobKey, b: JobKey): boolean => a.every((part, index) => part === b[index]);

/** Returns a key as text, for sets and maps. */
export const keyText = (key: JobKey): string => key.join("\n");

/**
 * Checks a name.
 *
 * @throws {QuaysideError} `invalid_option` if it is empty, longer than `most` (256) characters or not well-formed
 * Unicode.
 */
export function checkName(name: string, option: string, most: number = LIMITS.nameLength): string {
  if (typeof name !== "string" || !name || name.length > most || !name.isWellFormed()) {
    const rule = `must be a string of 1 to ${most} characters of well-formed Unicode`;
    throw refused(option, rule, name);
  }
  return name;
}

/** Checks a name that becomes a segment of a URL's path. Refuses `.` and `..`, which URLs resolve even if escaped. */
export function checkPathName(name: string, option: string): string {
  if (name === "." || name === "..") throw refused(option, "must not be . or ..", name);
  return checkName(name, option);
}
