import { type Duration, type JobMap, type JobToAdd, toMs } from "@quayside/core";

/** How long what brought a job is known again: longer than anything is delivered again after. */
const REMEMBER_MS = 86_400_000;

/** Options of bridges whose source may deliver twice. */
export interface OnceOptions {
  /**
   * Time during which a repeated delivery is recognised, also after its job has ended and was not kept. Costs one row
   * per delivery. 0: only while the queue has a record of the job. Default: a day.
   */
  readonly rememberFor?: Duration;
}

/** The job under an id that its cause gives it, so that the same cause adds it once. What the job says itself stays. */
export function once<Jobs extends JobMap>(
  job: JobToAdd<Jobs>,
  key: string,
  { rememberFor = REMEMBER_MS }: OnceOptions,
): JobToAdd<Jobs> {
  const ttl = toMs(rememberFor, "rememberFor");
  if (ttl === 0) return { id: key, ...job };
  return { id: key, dedupe: { key, mode: "throttle", ttl }, ...job };
}
