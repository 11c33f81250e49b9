import type { JobCounts, JobPage } from "@quayside/core";
import { partsOf } from "./classify-remote-error.ts";

const PARTIAL = { partial: true } as const;
/** The counts of a remote that cannot be reached. */
export const NONE_KNOWN: JobCounts = {
  waiting: 0,
  delayed: 0,
  active: 0,
  completed: 0,
  failed: 0,
  cancelled: 0,
  paused: false,
  ...PARTIAL,
};

/** The page of a remote that cannot be reached. */
export const NO_JOBS: JobPage = { jobs: [], ...PARTIAL };

/** Returns the remote's answer, or `partial` if the remote cannot be reached. Other errors are thrown. */
export async function known<T>(answer: Promise<T>, partial: T): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (partsOf(error).code === "network") return partial;
    throw error;
  }
}
