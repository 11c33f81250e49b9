import type { JobRecord, Json } from "@quayside/core";
import { countdown, span } from "../ui/format.ts";

/** One line about where a job stands: `completed in 48 ms`, `in 4 s`, `attempt 2 of 3`. */
export function standing(job: JobRecord, now: number): string {
  switch (job.state) {
    case "waiting":
      return job.blockedBy === "name" ? "no worker knows this job" : "waiting";
    case "delayed":
      return countdown(job.availableAt - now);
    case "active":
      return job.startedAt === undefined ? "running" : `running for ${span(now - job.startedAt)}`;
    case "completed":
      return `completed in ${span((job.finishedAt ?? 0) - (job.startedAt ?? job.finishedAt ?? 0))}`;
    default:
      return job.state;
  }
}

/** Worth a word when it did not go well at the first try. */
export function attempts({ attempts: made, maxAttempts, interruptions, state }: JobRecord): string | undefined {
  const parts = [
    ...(made > 1 || state === "failed" || (made > 0 && state === "delayed")
      ? [`attempt ${made} of ${maxAttempts}`]
      : []),
    ...(interruptions > 0 ? [`interrupted ${interruptions === 1 ? "once" : `${interruptions} times`}`] : []),
  ];
  return parts.length > 0 ? parts.join(", ") : undefined;
}

/** Progress as the demo's handlers tell it: a share in percent, and what is being done. */
export function progressOf(value: Json | undefined): { readonly percent?: number; readonly step?: string } {
  if (typeof value === "number") return { percent: value };
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  const { percent, step } = value as { percent?: Json; step?: Json };
  return { ...(typeof percent === "number" && { percent }), ...(typeof step === "string" && { step }) };
}
