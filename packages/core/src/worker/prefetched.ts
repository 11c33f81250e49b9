import { append } from "../store/append.ts";
import type { ClaimedJob } from "../store/verbs.ts";

/** Jobs that a worker holds and has not started, in the order in which it was given them. */
export class Prefetched {
  #jobs: ClaimedJob[] = [];

  get count(): number {
    return this.#jobs.length;
  }

  get tokens(): readonly string[] {
    return this.#jobs.map(({ token }) => token);
  }

  add(jobs: readonly ClaimedJob[]): void {
    append(this.#jobs, jobs);
  }

  /** The first so many, to be started. */
  take(count: number): readonly ClaimedJob[] {
    return this.#jobs.splice(0, count);
  }

  /** Forgets them, or those of these tokens; answers how many. What its worker does not name goes back (R9). */
  drop(tokens?: ReadonlySet<string>): number {
    const before = this.#jobs.length;
    this.#jobs = tokens ? this.#jobs.filter(({ token }) => !tokens.has(token)) : [];
    return before - this.#jobs.length;
  }
}
