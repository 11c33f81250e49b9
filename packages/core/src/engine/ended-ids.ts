import { append } from "../job/append-to-list.ts";
import { spellId } from "../job/job-keys.ts";
import type { JobKey } from "../job/job-record.ts";
import type { Change } from "./store.ts";

/** Records which jobs ended, given by id or by the key that spells it, so that `waitFor` reads only its own job. */
export function noteEnded(change: Writable<Change>, jobs: readonly (JobKey | string)[]): void {
  change.ended ??= [];
  append(
    change.ended as number[],
    jobs.map((job) => markOf(typeof job === "string" ? job : spellId(job))),
  );
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

/** Returns whether a change may be about this job: true when it does not say which jobs ended. */
export const mayConcern = ({ ended }: Change, id: string): boolean => ended?.includes(markOf(id)) ?? true;

/** 32 bits of an id: short, and no id is sent to callers that may only watch. Two ids of one mark cost a read. */
function markOf(id: string): number {
  let mark = 0;
  for (let index = 0; index < id.length; index++) mark = (Math.imul(mark, 31) + id.charCodeAt(index)) | 0;
  return mark;
}
