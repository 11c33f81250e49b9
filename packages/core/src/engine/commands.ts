import { invalidOption } from "../job/errors.ts";
import { keyText } from "../job/job-keys.ts";
import type { JobKey, JobState, StoredJob } from "../job/job-record.ts";
import { describe } from "../job/text.ts";
import { type Ending, stateOf } from "../job/transitions.ts";
import { end, forget, locate, pruneAll } from "./job-writer.ts";
import type { Position } from "./list-jobs.ts";
import type { Held, Program, QueueSettings } from "./store.ts";
import type { Turn } from "./transaction.ts";
import type { Command, CommandReply } from "./verbs.ts";

/** The result of a command. A long one acts on a bounded number of jobs in each transaction, and says where it goes on. */
export interface CommandStep extends CommandReply {
  /** Absent: it is done. */
  readonly next?: Step;
}

/** Where the next step of a command goes on. */
export interface Step extends Position {
  /** When the command began. */
  readonly began?: Turn["standing"];
  /** The last job of an ended state when the command began. */
  readonly until?: JobKey;
}

/** Runs a command, or the next step of a long one. */
export type CommandHandler = (turn: Turn, request: never, from?: Step) => Program<CommandStep>;

/** The commands of a type. */
export type CommandOf<Type extends Command["type"], C extends Command = Command> = C extends unknown
  ? Type extends C["type"]
    ? C
    : never
  : never;

/** The commands that belong to no plugin. */
const KERNEL_COMMANDS: Readonly<Record<string, CommandHandler>> = {
  *cancel(turn, { queue, id }: CommandOf<"cancel">) {
    const { job, run, state } = yield* lookUp(turn, queue, id);
    if (!job || job.key[0] === "finished") return { affected: 0, ...(state && { state }) };
    if (run) return yield* requestCancel(turn, queue, [job], "cancel");
    yield* end(turn, [{ job, ending: CANCELLED }]);
    return { affected: 1, state: "cancelled" };
  },
  *remove(turn, { queue, id }: CommandOf<"remove">) {
    const { job, run } = yield* lookUp(turn, queue, id);
    if (!job) return { affected: 0 };
    if (run) return yield* requestCancel(turn, queue, [job], "remove");
    yield* eraseJobs(turn, [job]);
    return { affected: 1 };
  },
  pause: (turn, { queue }: CommandOf<"pause">) => setPaused(turn, queue, true),
  resume: (turn, { queue }: CommandOf<"resume">) => setPaused(turn, queue, false),
  configure,
};

/** Runs one command, or the next step of a long one. */
export function command(turn: Turn, request: Command, from?: Step): Program<CommandStep> {
  const { type } = request;
  for (const commands of [KERNEL_COMMANDS, ...turn.plugins.with("commands").map((plugin) => plugin.commands)])
    if (Object.hasOwn(commands, type)) return (commands[type] as CommandHandler)(turn, request as never, from);
  throw invalidOption("type", `type is no command of this driver: ${describe(type)}.`);
}

/** A job with its state and, while it runs, its lease entry. */
export function* lookUp(
  turn: Turn,
  queue: string,
  id: string,
): Program<{ readonly job?: StoredJob; readonly run?: Run | undefined; readonly state?: JobState }> {
  const [job] = yield* locate(queue, [id]);
  if (!job) return {};
  const run = (yield* turn.leases()).holderOf(job.key);
  return { job, run, state: stateOf(job.key, turn.now, run !== undefined) };
}

/** An attempt that runs. */
export interface Run {
  readonly worker: string;
  readonly held: Held;
}

/** Running jobs are never touched: their lease entries tell their workers, and whatever becomes of the attempts honours it. */
export function* requestCancel(
  turn: Turn,
  queue: string,
  jobs: readonly StoredJob[],
  wish: "cancel" | "remove",
): Program<CommandReply> {
  const keys = new Set(jobs.map(({ key }) => keyText(key)));
  const leases = yield* turn.leases();
  let affected = 0;
  // Each lease is changed once, however many of the jobs it lists.
  for (const lease of leases.all()) {
    const before = affected;
    const held = lease.held.map((entry) =>
      keys.has(keyText(entry.key)) && entry.cancel !== wish && entry.cancel !== "remove" && ++affected
        ? { ...entry, cancel: wish }
        : entry,
    );
    if (affected > before) leases.set({ ...lease, held });
  }
  if (affected > 0) turn.changed(queue, "cancel");
  return { affected, state: "active" };
}

/** Deletes jobs that do not run, without a trace. */
export function* eraseJobs(turn: Turn, jobs: readonly StoredJob[]): Program<void> {
  yield* forget(
    turn,
    jobs.filter((job) => job.key[0] === "finished"),
  );
  yield* end(
    turn,
    jobs.filter((job) => job.key[0] !== "finished").map((job) => ({ job, ending: CANCELLED, trace: false })),
  );
}

const CANCELLED: Ending = { state: "cancelled" };

function* setPaused(turn: Turn, queue: string, paused: boolean): Program<CommandReply> {
  const { paused: before = false, ...rest } = yield* turn.settings(queue);
  if (before === paused) return { affected: 0 };
  yield* turn.configure(queue, paused ? { ...rest, paused } : rest);
  turn.changed(queue, "settings");
  if (!paused) turn.changed(queue, "ready");
  return { affected: 0 };
}

function* configure(
  turn: Turn,
  { type: _, queue, ...config }: CommandOf<"configure">,
  from: Step | undefined,
): Program<CommandStep> {
  const { keep } = config;
  // The next steps only prune: another call may have changed the settings since.
  if (!from) {
    turn.plugins.checkOwned("setting", config);
    const before = yield* turn.settings(queue);
    const said = Object.entries({ ...before, ...config, ...(keep && { keep: { ...before.keep, ...keep } }) });
    yield* turn.configure(queue, Object.fromEntries(said.filter(([, value]) => value !== null)) as QueueSettings);
    turn.changed(queue, "settings");
  }
  const more = keep !== undefined && (yield* pruneAll(turn, queue));
  return { affected: 0, ...(more && { next: { stretch: 0 } }) };
}
