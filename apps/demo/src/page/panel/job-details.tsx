import type { JobRecord } from "@quayside/core";
import { clock } from "../ui/format.ts";

/** Longest text of a payload that is shown: a thumbnail's is tens of thousands of characters. */
const SHOWN = 400;

/** All that the record says. */
export function JobDetails({ job }: { readonly job: JobRecord }) {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ["Id", job.id],
    ["Added", clock(job.addedAt)],
    ["Due", job.availableAt === job.addedAt ? undefined : clock(job.availableAt)],
    ["Started", job.startedAt === undefined ? undefined : clock(job.startedAt)],
    ["Ended", job.finishedAt === undefined ? undefined : clock(job.finishedAt)],
    ["Attempts", `${job.attempts} of ${job.maxAttempts}`],
    ["Dedupe key", job.dedupe?.key],
    ["Payload", text(job.payload)],
    ["Result", job.result === undefined ? undefined : text(job.result)],
    ["Last error", job.error && `${job.error.code}: ${job.error.message}`],
  ];
  return (
    <dl class="details">
      {rows.map(
        ([term, value]) =>
          value !== undefined && (
            <div key={term}>
              <dt>{term}</dt>
              <dd>{value}</dd>
            </div>
          ),
      )}
    </dl>
  );
}

function text(value: unknown): string {
  const json = JSON.stringify(value);
  return json.length <= SHOWN ? json : `${json.slice(0, SHOWN)}… (${json.length} characters)`;
}
