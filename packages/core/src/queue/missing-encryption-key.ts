import { hasCode, QuaysideError } from "../job/errors.ts";
import type { JobRecord } from "../job/job-record.ts";
import { Release } from "../job/release-job.ts";

/** A job that this worker has no key for waits at least and at most so long before it is looked at again, by any worker. */
const MISSING_KEY_MS = [60_000, 3_600_000] as const;

/** @param id of the key; absent: there are no keys at all. */
export const missingKey = (what: string, id?: string): QuaysideError =>
  new QuaysideError(
    "missing_key",
    id === undefined
      ? `${what}, but there are no keys: give the queue or manager an encryption, as aesGcm({ keys, current }).`
      : `${what} key ${JSON.stringify(id)}, which is not among encryption.keys here.`,
    id === undefined ? {} : { key: id },
  );

/** Returns the error to throw for a job that was not decrypted: where the key is missing, the job is given back. */
export function waitForKey({ availableAt, addedAt }: JobRecord, error: unknown): unknown {
  const [least, most] = MISSING_KEY_MS;
  // As long again as it has waited, by the clock of its store.
  return hasCode(error, "missing_key")
    ? new Release(Math.min(Math.max(least, availableAt - addedAt), most), error)
    : error;
}
