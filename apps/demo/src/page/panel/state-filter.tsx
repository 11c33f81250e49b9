import type { JobCounts, JobState } from "@quayside/core";
import type { Filter } from "../live/queue-view.ts";
import { count } from "../ui/format.ts";

const STATES: readonly JobState[] = ["waiting", "delayed", "active", "completed", "failed", "cancelled"];

export interface StateFilterProps {
  readonly counts: JobCounts | undefined;
  readonly chosen: Filter;
  readonly onChoose: (filter: Filter) => void;
}

/** How many jobs there are in each state; choosing one shows those alone, choosing it again shows all. */
export function StateFilter({ counts, chosen, onChoose }: StateFilterProps) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would ask for a legend that all can see.
    <div class="states" role="group" aria-label="Show jobs by state">
      {STATES.map((state) => {
        const jobs = counts?.[state] ?? 0;
        return (
          <button
            key={state}
            type="button"
            class="state"
            data-state={state}
            data-empty={jobs === 0}
            aria-pressed={chosen === state}
            onClick={() => onChoose(chosen === state ? "all" : state)}
          >
            <span class="state-count" data-testid={`count-${state}`}>
              {counts ? count(jobs) : "–"}
            </span>
            <span class="state-name">{state}</span>
          </button>
        );
      })}
    </div>
  );
}
