import { type Duration, type JobMap, type JobToAdd, toMs } from "@quayside/core";

/** Default of `rememberFor`, in ms: longer than the time in which Cloudflare delivers a message or trigger again. */
const REMEMBER_MS = 86_400_000;

/** Options of bridges whose source may deliver a message more than once. */
export interface OnceOptions {
  /**
   * Time during which a repeated delivery adds no job, even if its first job has ended and is no longer stored. Costs
   * one written row per delivery. 0: repeats are ignored only while the job is stored. Default: one day.
   */
  readonly rememberFor?: Duration | undefined;
}

/**
 * Returns the job with `key` as its id and (unless `rememberFor` is 0) as its dedupe key, so that repeated deliveries add
 * it once. An id or dedupe key of the job's own is kept.
 */
export function once<Jobs extends JobMap>(
  job: JobToAdd<Jobs>,
  key: string,
  { rememberFor = REMEMBER_MS }: OnceOptions,
): JobToAdd<Jobs> {
  const ttl = toMs(rememberFor, "rememberFor");
  if (ttl === 0) return { id: key, ...job };
  return { id: key, dedupe: { key, mode: "throttle", ttl }, ...job };
}
