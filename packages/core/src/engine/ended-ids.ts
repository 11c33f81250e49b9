import { append } from "../job/append-to-list.ts";
import { spellId } from "../job/job-keys.ts";
import type { JobKey } from "../job/job-record.ts";
import type { Change } from "./store.ts";

/**
 * Adds the ended jobs, given by id or key, to a change notice, so that a `waitFor` reads its job again only when that
 * job may have ended.
 */
export function noteEnded(change: Writable<Change>, jobs: readonly (JobKey | string)[]): void {
  change.ended ??= [];
  append(
    change.ended as number[],
    jobs.map((job) => markOf(typeof job === "string" ? job : spellId(job))),
  );
}

/** The fields of `T`, not read-only. */
export type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

/**
 * Returns whether the job with this id may have ended by a change: it is listed, or the change does not list the ended
 * jobs.
 */
export const mayConcern = ({ ended }: Change, id: string): boolean => ended?.includes(markOf(id)) ?? true;

/**
 * Returns a 32-bit hash of an id (FNV-1a): change notices list hashes, so that callers that may only watch get no ids. A
 * collision costs one read. Ids of jobs that were added together differ in few characters; the hash must still differ.
 */
function markOf(id: string): number {
  let mark = 0;
  for (let index = 0; index < id.length; index++) mark = Math.imul(mark ^ id.charCodeAt(index), 16777619);
  return mark;
}
