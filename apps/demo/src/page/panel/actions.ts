import type { JobState, Queue } from "@quayside/core";
import type { CommandReply } from "@quayside/core/engine";

/** The part of a `Queue` that steers one job. */
export type Steered = Pick<Queue, "cancel" | "retry" | "promote" | "remove">;

export type Action = keyof Steered;

export const ACTION_LABELS: Readonly<Record<Action, string>> = {
  cancel: "Cancel",
  retry: "Retry",
  promote: "Run now",
  remove: "Remove",
};

/** What can be done with a job in each state. */
export const ACTIONS: Readonly<Record<JobState, readonly Action[]>> = {
  waiting: ["cancel", "remove"],
  delayed: ["promote", "cancel", "remove"],
  active: ["cancel"],
  completed: ["remove"],
  failed: ["retry", "remove"],
  cancelled: ["retry", "remove"],
};

export const act = (queue: Steered, action: Action, id: string): Promise<CommandReply> => queue[action](id);
