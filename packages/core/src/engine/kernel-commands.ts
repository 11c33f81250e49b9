import { describe } from "../job/cut-text.ts";
import { keyText } from "../job/job-keys.ts";
import type { JobKey, StoredJob } from "../job/job-record.ts";
import type { Ending } from "../job/transitions.ts";
import { deleteFinished, endJobs, pruneAll } from "./job-writer.ts";
import type { Position } from "./list-jobs.ts";
import { lookUp } from "./read-queue.ts";
import type { Program, QueueSettings } from "./store.ts";
import type { Transaction } from "./transaction.ts";
import type { Command, CommandReply, QueueConfig } from "./verbs.ts";

/**
 * The reply of one step of a command. A long command changes a limited number of jobs per transaction, and takes
 * several steps.
 */
export interface CommandStep extends CommandReply {
  /** Where to continue. Absent: the command has finished. */
  readonly next?: Step;
}

/** The state of an unfinished command: where its next step continues. */
export interface Step extends Position {
  /** The newest position of a job when the command began: later jobs are not affected. */
  readonly began?: Transaction["standing"];
  /** The last ended job when the command began: jobs that ended later are not affected. */
  readonly until?: JobKey;
}

/** Runs a command, or the next step of a long one. */
export type CommandHandler = (tx: Transaction, request: never, from?: Step) => Program<CommandStep>;

/** The command with this `type`. */
export type CommandOf<Type extends Command["type"], C extends Command = Command> = C extends unknown
  ? Type extends C["type"]
    ? C
    : never
  : never;

/** The commands that belong to no plugin. */
const KERNEL_COMMANDS: Readonly<Record<string, CommandHandler>> = {
  *cancel(tx, named: CommandOf<"cancel">) {
    const { job, run, state } = yield* lookUp(tx, named);
    if (!job || job.key[0] === "finished") return { affected: 0, ...(state && { state }) };
    if (run) return yield* requestCancel(tx, job.queue, [job], "cancel");
    yield* endJobs(tx, [{ job, ending: CANCELLED }]);
    return { affected: 1, state: "cancelled" };
  },
  *remove(tx, named: CommandOf<"remove">) {
    const { job, run } = yield* lookUp(tx, named);
    if (!job) return { affected: 0 };
    if (run) return yield* requestCancel(tx, job.queue, [job], "remove");
    yield* eraseJobs(tx, [job]);
    return { affected: 1 };
  },
  pause: (tx, { queue }: CommandOf<"pause">) => setPaused(tx, queue, true),
  resume: (tx, { queue }: CommandOf<"resume">) => setPaused(tx, queue, false),
  configure,
};

/** Runs one command, or the next step of a long one. */
export function command(tx: Transaction, request: Command, from?: Step): Program<CommandStep> {
  const { type } = request;
  for (const commands of [KERNEL_COMMANDS, ...tx.plugins.with("commands").map((plugin) => plugin.commands)])
    if (Object.hasOwn(commands, type)) return (commands[type] as CommandHandler)(tx, request as never, from);
  throw tx.plugins.missing("command of type", describe(type), "type");
}

/**
 * Requests the end of running jobs in their lease entries: `cancel` or, to delete them as well, `remove`. The jobs'
 * records do not change: their workers read the request and settle the attempts.
 */
export function* requestCancel(
  tx: Transaction,
  queue: string,
  jobs: readonly StoredJob[],
  wish: "cancel" | "remove",
): Program<CommandReply> {
  const keys = new Set(jobs.map(({ key }) => keyText(key)));
  const leases = yield* tx.leases();
  let affected = 0;
  // Each lease is changed once, whatever number of the jobs it lists.
  for (const lease of leases.all()) {
    const before = affected;
    const held = lease.held.map((entry) =>
      keys.has(keyText(entry.key)) && entry.cancel !== wish && entry.cancel !== "remove" && ++affected
        ? { ...entry, cancel: wish }
        : entry,
    );
    if (affected > before) leases.set({ ...lease, held });
  }
  if (affected > 0) tx.changed(queue, "cancel");
  return { affected, state: "active" };
}

/** Deletes jobs that do not run. They are not kept as ended. */
export function* eraseJobs(tx: Transaction, jobs: readonly StoredJob[]): Program<void> {
  yield* deleteFinished(
    tx,
    jobs.filter((job) => job.key[0] === "finished"),
  );
  yield* endJobs(
    tx,
    jobs.filter((job) => job.key[0] !== "finished").map((job) => ({ job, ending: CANCELLED, trace: false })),
  );
}

const CANCELLED: Ending = { state: "cancelled" };

function* setPaused(tx: Transaction, queue: string, paused: boolean): Program<CommandReply> {
  const { paused: before = false, ...rest } = yield* tx.settings(queue);
  if (before === paused) return { affected: 0 };
  yield* tx.configure(queue, paused ? { ...rest, paused } : rest);
  tx.changed(queue, "settings");
  if (!paused) tx.changed(queue, "ready");
  return { affected: 0 };
}

/** Returns the settings of a queue after a change: an omitted setting stays, and null removes one. */
export function changedSettings(before: QueueSettings, { keep, ...limits }: QueueConfig): QueueSettings {
  const said = Object.entries({ ...before, ...limits, ...(keep && { keep: { ...before.keep, ...keep } }) });
  return Object.fromEntries(said.filter(([, value]) => value !== null)) as QueueSettings;
}

function* configure(
  tx: Transaction,
  { type: _, queue, ...config }: CommandOf<"configure">,
  from: Step | undefined,
): Program<CommandStep> {
  const { keep } = config;
  // Later steps only prune, because another call may have changed the settings since.
  if (!from) {
    tx.plugins.checkOwned("setting", config, tx.used);
    yield* tx.configure(queue, changedSettings(yield* tx.settings(queue), config));
    tx.changed(queue, "settings");
  }
  const more = keep !== undefined && (yield* pruneAll(tx, queue));
  return { affected: 0, ...(more && { next: { stretch: 0 } }) };
}
