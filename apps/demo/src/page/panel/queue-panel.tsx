import type { JobRecord, Queue } from "@quayside/core";
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { type Filter, viewQueue } from "../live/queue-view.ts";
import { useLive } from "../live/use-live.ts";
import { useNow } from "../live/use-now.ts";
import { type Progressing, useProgress } from "../live/use-progress.ts";
import { notify } from "../state/notices.ts";
import { messageOf } from "../ui/format.ts";
import { icons } from "../ui/icons.tsx";
import { type Action, act, type Steered } from "./actions.ts";
import { JobRow } from "./job-row.tsx";
import { StateFilter } from "./state-filter.tsx";

/** Any queue, wherever its jobs lie: the panel is the same for a tab's own and for one at the edge. */
export type PanelQueue = Steered &
  Progressing &
  Pick<Queue, "name" | "list" | "counts" | "watch" | "pause" | "resume" | "clear">;

export interface QueuePanelProps {
  readonly queue: PanelQueue;
  readonly subject: (job: JobRecord) => string;
  /** What to say while there are no jobs. */
  readonly empty: ComponentChildren;
  /** False: out of reach just now. */
  readonly reachable?: boolean;
}

const FIRST = 8;
const STEP = 20;

export function QueuePanel({ queue, subject, empty, reachable = true }: QueuePanelProps) {
  const [filter, setFilter] = useState<Filter>("all");
  const [limit, setLimit] = useState(FIRST);
  const list = useRef<HTMLUListElement>(null);
  const progress = useProgress(queue);
  const { value, error, reload } = useLive(queue, `${filter} ${limit}`, () => viewQueue(queue, filter, limit), {
    enabled: reachable,
  });
  const jobs = value?.jobs ?? [];
  // What is out of reach is shown as it was seen last.
  const now = useNow(reachable && jobs.some(({ state }) => state === "delayed" || state === "active"));
  const paused = value?.counts.paused ?? false;
  const ended = value ? value.counts.completed + value.counts.failed + value.counts.cancelled : 0;

  const attempt = async (work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (failure) {
      notify(messageOf(failure));
    }
    reload();
  };
  const onAction = (action: Action, job: JobRecord) => {
    // The button that was pressed may go away with its row: the keyboard stays in the list.
    list.current?.focus({ preventScroll: true });
    void attempt(() => act(queue, action, job.id));
  };
  const clearEnded = () =>
    attempt(() => Promise.all((["completed", "failed", "cancelled"] as const).map((state) => queue.clear(state))));

  return (
    <section
      class="panel"
      aria-label={`Queue ${queue.name}`}
      data-queue={queue.name}
      data-loaded={value !== undefined}
      data-reachable={reachable}
    >
      <header class="panel-head">
        <h3>
          <code>{queue.name}</code>
          {paused && <span class="tag">paused</span>}
          {!reachable && <span class="tag">out of reach</span>}
        </h3>
        <span class="panel-tools">
          <button
            type="button"
            class="button button-quiet"
            disabled={!reachable || ended === 0}
            onClick={() => void clearEnded()}
          >
            Clear ended
          </button>
          <button
            type="button"
            class="button button-quiet"
            disabled={!reachable || !value}
            onClick={() => void attempt(() => (paused ? queue.resume() : queue.pause()))}
          >
            {paused ? icons.resume : icons.pause}
            {paused ? "Resume" : "Pause"}
          </button>
        </span>
      </header>
      <StateFilter counts={value?.counts} chosen={filter} onChoose={setFilter} />
      {error !== undefined && reachable && (
        <p class="panel-error" role="alert">
          {messageOf(error)}{" "}
          <button type="button" class="link" onClick={reload}>
            Try again
          </button>
        </p>
      )}
      <ul class="jobs" ref={list} tabIndex={-1} aria-label={`Jobs of ${queue.name}`}>
        {jobs.map((job) => (
          <JobRow
            key={job.id}
            job={job}
            subject={subject(job)}
            progress={progress.get(job.id)}
            now={now}
            steerable={reachable}
            onAction={onAction}
          />
        ))}
      </ul>
      {!value && !reachable && <p class="empty">Not seen yet: it is out of reach.</p>}
      {value && jobs.length === 0 && <p class="empty">{filter === "all" ? empty : `No ${filter} jobs.`}</p>}
      {value?.hasMore && (
        <button type="button" class="button button-quiet panel-more" onClick={() => setLimit(limit + STEP)}>
          {icons.more} Show more
        </button>
      )}
    </section>
  );
}
