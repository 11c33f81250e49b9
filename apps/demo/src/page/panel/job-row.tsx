import type { JobRecord, Json } from "@quayside/core";
import { useId, useState } from "preact/hooks";
import { icons } from "../ui/icons.tsx";
import { ACTION_LABELS, ACTIONS, type Action } from "./actions.ts";
import { attempts, progressOf, standing } from "./describe.ts";
import { JobDetails } from "./job-details.tsx";

export interface JobRowProps {
  readonly job: JobRecord;
  /** What the job is about, in a word: a file's name, an address. */
  readonly subject: string;
  readonly progress: Json | undefined;
  readonly now: number;
  /** False: nothing can be done with it just now. */
  readonly steerable: boolean;
  readonly onAction: (action: Action, job: JobRecord) => void;
}

/** One job: where it stands, how it went, what can be done with it. */
export function JobRow({ job, subject, progress, now, steerable, onAction }: JobRowProps) {
  const [open, setOpen] = useState(false);
  const detailsId = useId();
  const { state, error } = job;
  const tries = attempts(job);
  return (
    <li
      class="job"
      data-job-id={job.id}
      data-job-name={job.name}
      data-state={state}
      data-attempts={job.attempts}
      data-interruptions={job.interruptions}
    >
      <div class="job-line">
        <span class="job-glyph">{icons[state]}</span>
        <button
          type="button"
          class="job-title"
          aria-expanded={open}
          aria-controls={detailsId}
          onClick={() => setOpen(!open)}
        >
          <span class="job-subject">{subject}</span>
          <span class="job-meta">
            <code>{job.name}</code>
            <span data-testid="standing">{standing(job, now)}</span>
            {tries && <span data-testid="attempts">{tries}</span>}
          </span>
        </button>
        <span class="job-actions">
          {ACTIONS[state].map((action) => (
            <button
              key={action}
              type="button"
              class={action === "retry" ? "button button-small" : "button button-icon"}
              aria-label={`${ACTION_LABELS[action]}: ${job.name} ${subject}`}
              title={ACTION_LABELS[action]}
              disabled={!steerable}
              onClick={() => onAction(action, job)}
            >
              {icons[action]}
              {action === "retry" && ACTION_LABELS.retry}
            </button>
          ))}
        </span>
      </div>
      {state === "active" && <ProgressBar progress={progress ?? job.progress} label={`${job.name} ${subject}`} />}
      {error && state !== "completed" && <p class="job-error">{error.message}</p>}
      <div id={detailsId} hidden={!open}>
        {open && <JobDetails job={job} />}
      </div>
    </li>
  );
}

/** Without a share it says only that something is under way. */
function ProgressBar({ progress, label }: { readonly progress: Json | undefined; readonly label: string }) {
  const { percent, step } = progressOf(progress);
  return (
    <div class="progress">
      <progress aria-label={`Progress of ${label}`} max={100} {...(percent !== undefined && { value: percent })} />
      {step && <span class="progress-step">{step}</span>}
    </div>
  );
}
