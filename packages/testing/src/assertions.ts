import type { Driver } from "@quayside/core";
import type { NewJob } from "@quayside/core/engine";

/** A job as it was added. */
export interface AddedJob extends Omit<NewJob, "payload"> {
  readonly payload: unknown;
}

/** The fields that an added job must have. Of objects, the members that are named. */
export interface AddedLike {
  readonly queue?: string;
  readonly name?: string;
  readonly payload?: unknown;
  readonly priority?: number;
  readonly delayMs?: number;
  readonly tags?: readonly string[];
}

/** A driver that records the jobs that are added to it, with assertions. */
export interface RecordedDriver {
  /** To be used in place of the one given. */
  readonly driver: Driver;
  /** Jobs added so far that are like this, in order; also those that were deduplicated. */
  added(like?: AddedLike): readonly AddedJob[];
  /** @throws {Error} saying what was added, when no job (or not exactly `times` jobs) like this was. */
  expectAdded(like: AddedLike, times?: number): void;
  /** Clears the list of added jobs. */
  reset(): void;
}

/**
 * A driver that remembers what is added to it, to be asked in a test. Works with every test runner: it throws.
 *
 * @example
 * const { driver, expectAdded } = recorded(memoryDriver());
 * await signUp(new Queue<Jobs>("mail", driver));
 * expectAdded({ name: "email", payload: { to: "ada@example.com" } });
 * expectAdded({ name: "invoice" }, 0);
 */
export function recorded(target: Driver): RecordedDriver {
  let seen: AddedJob[] = [];
  const driver = new Proxy(target, {
    get(_, verb) {
      const member: unknown = Reflect.get(target, verb);
      if (typeof member !== "function") return member;
      if (verb !== "enqueue") return member.bind(target);
      return async (jobs: readonly NewJob[], ...rest: readonly unknown[]) => {
        const receipts: unknown = await member.call(target, jobs, ...rest);
        seen.push(...jobs.map(readable));
        return receipts;
      };
    },
  });
  const added = (like: AddedLike = {}) => seen.filter((job) => isLike(job, like));
  return {
    driver,
    added,
    expectAdded(like, times) {
      const found = added(like).length;
      if (times === undefined ? found > 0 : found === times) return;
      const wanted = times === undefined ? "a job" : `${times} jobs`;
      const all = seen.map((job) => `  ${job.queue}/${job.name} ${JSON.stringify(job.payload)}`).join("\n") || "  none";
      throw new Error(
        `Expected ${wanted} like ${JSON.stringify(like)} to have been added, found ${found}. Added were:\n${all}`,
      );
    },
    reset() {
      seen = [];
    },
  };
}

function readable({ payload, ...job }: NewJob): AddedJob {
  const value: unknown = JSON.parse(payload);
  return { ...job, payload: job.sealed ? "(encrypted)" : value };
}

/** Deeply equal; of objects, as far as `wanted` has members. */
function isLike(actual: unknown, wanted: unknown): boolean {
  if (typeof wanted !== "object" || wanted === null) return Object.is(actual, wanted);
  if (typeof actual !== "object" || actual === null) return false;
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(actual) &&
      actual.length === wanted.length &&
      wanted.every((item, index) => isLike(actual[index], item))
    );
  }
  return Object.entries(wanted).every(
    ([key, value]) => value === undefined || isLike((actual as Record<string, unknown>)[key], value),
  );
}
