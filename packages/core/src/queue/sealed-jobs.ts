import { QuaysideError } from "../job/errors.ts";
import type { JobRecord } from "../job/job-record.ts";
import type { Encryption } from "./encryption.ts";

/**
 * Creates the error of a missing encryption key.
 *
 * @param id id of the key; absent: no keys are configured.
 */
export const missingKey = (what: string, id?: string): QuaysideError =>
  new QuaysideError(
    "missing_key",
    id === undefined
      ? `${what}, but there are no keys: give the queue or manager an encryption, as aesGcm({ keys, current }).`
      : `${what} key ${JSON.stringify(id)}, which is not among encryption.keys here.`,
    id === undefined ? {} : { key: id },
  );

/** Returns the job with those fields decrypted for which there is a key. */
export async function readable<Payload>(
  encryption: Encryption | undefined,
  job: JobRecord<Payload>,
): Promise<JobRecord<Payload>> {
  return encryption?.readable(job) ?? job;
}

/** Returns a job's payload, decrypted if it is encrypted. @throws {QuaysideError} `missing_key`, `decryption_failed`. */
export async function openPayload(
  encryption: Encryption | undefined,
  job: Pick<JobRecord, "queue" | "name" | "id" | "payload" | "sealed">,
): Promise<unknown> {
  if (!encryption && job.sealed) throw missingKey("The job is encrypted");
  return encryption ? encryption.payload(job) : job.payload;
}

/**
 * Decrypts an ended job as `readable` does, but throws if its result cannot be decrypted.
 *
 * @throws {QuaysideError} `missing_key`, `decryption_failed`.
 */
export async function openEnded(encryption: Encryption | undefined, job: JobRecord): Promise<JobRecord> {
  if (!encryption && job.sealed && job.result !== undefined) throw missingKey("The result is encrypted");
  return encryption ? encryption.ended(job) : job;
}
