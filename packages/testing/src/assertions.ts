import type { Driver } from "@quayside/core";
import type { NewJob } from "@quayside/core/engine";

/** An added job with its payload as a value. */
export interface AddedJob extends Omit<NewJob, "payload"> {
  readonly payload: unknown;
}

/**
 * The fields that an added job must have to match. Of objects such as the payload, only the given members are compared.
 */
export interface AddedLike {
  readonly queue?: string | undefined;
  readonly name?: string | undefined;
  readonly payload?: unknown;
  readonly priority?: number | undefined;
  readonly delayMs?: number | undefined;
  readonly tags?: readonly string[] | undefined;
}

/** A driver that records the added jobs, with assertions about them. */
export interface RecordedDriver {
  /** The driver to use in place of the given one. */
  readonly driver: Driver;
  /** Returns the added jobs that match `like`, in order, including deduplicated ones. */
  added(like?: AddedLike): readonly AddedJob[];
  /**
   * Checks that a job that matches `like` was added.
   *
   * @throws {Error} listing the added jobs, if there is no such job (or not exactly `times`).
   */
  expectAdded(like: AddedLike, times?: number): void;
  /** Clears the list of added jobs. */
  reset(): void;
}

/**
 * Wraps a driver to record the jobs that are added. Works with every test runner, because assertions throw.
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

/** Returns whether values are deeply equal. Of objects, compares only the members that `wanted` has. */
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
