import { spellId } from "../job/place.ts";
import type { JobKey } from "../job/record.ts";
import { append } from "./append.ts";
import type { Change } from "./store.ts";

/** Which jobs a change of kind `ended` is about: by id, or by the key that spells it. Known only where it was made. */
const about = new WeakMap<Change, Set<string> | (JobKey | string)[]>();

/** Records which jobs ended, so that `waitFor` reads only its own job. */
export function noteEnded(change: Change, jobs: readonly (JobKey | string)[]): void {
  const noted = about.get(change);
  if (Array.isArray(noted)) append(noted, jobs);
  else if (!noted) about.set(change, [...jobs]);
}

/** The same change, with another field. */
export function withBy(change: Change, by: string): Change {
  const copy = { ...change, by };
  const noted = about.get(change);
  if (noted) about.set(copy, noted);
  return copy;
}

/** Returns whether a change may be about this job: true when its jobs were not recorded. */
export function mayConcern(change: Change, id: string): boolean {
  let noted = about.get(change);
  // Ids are spelled at the first question: it costs time, and most changes are never asked about.
  if (Array.isArray(noted)) {
    noted = new Set(noted.map((job) => (typeof job === "string" ? job : spellId(job))));
    about.set(change, noted);
  }
  return noted?.has(id) ?? true;
}
