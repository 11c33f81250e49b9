import { invalidOption, QuaysideError } from "../job/errors.ts";
import { finishedLane } from "../job/place.ts";
import type { JobKey, JobState, StoredJob } from "../job/record.ts";
import { describe } from "../job/text.ts";
import { again, type Ending, reset, stateOf, updated } from "../job/transitions.ts";
import { end, forget, locate, moveEach, pruneAll } from "./door.ts";
import { type Position, walk } from "./list.ts";
import { after, get, scan, startingWith } from "./operations.ts";
import type { Held, Program } from "./store.ts";
import type { Turn } from "./turn.ts";
import type { Command, CommandReply, JobFilter } from "./verbs.ts";

const CANCELLED: Ending = { state: "cancelled" };

/** What a command did, and where a bounded one (`clear`, `retryAll`, `configure`) has to go on; done when absent. */
interface Progressed extends CommandReply {
  readonly next?: Step;
}

/** When a command of several steps began. */
type Began = Turn["standing"];

/** Where the next step of a command goes on. */
export interface Step extends Position {
  readonly began?: Began;
  /** The last job of an ended state when the command began. */
  readonly until?: JobKey;
}

/** Runs one operator's command, or the next step of a long one. */
export function* command(turn: Turn, request: Command, from?: Step): Program<Progressed> {
  switch (request.type) {
    case "cancel":
    case "remove":
    case "retry":
    case "promote":
    case "update":
      return yield* onJob(turn, request);
    case "retryAll":
      return yield* retryAll(turn, request, from);
    case "clear":
      return yield* clear(turn, request, from);
    case "pause":
    case "resume":
      return yield* pause(turn, request.queue, request.type === "pause");
    case "configure":
      return yield* configure(turn, request);
  }
  for (const plugin of turn.plugins.with("command")) {
    const reply = yield* plugin.command(turn, request);
    if (reply) return reply;
  }
  throw invalidOption("type", `type is no command of this driver: ${describe(request.type)}.`);
}

function* configure(
  turn: Turn,
  { type: _, queue, ...config }: Extract<Command, { type: "configure" }>,
): Program<Progressed> {
  turn.plugins.checkOwned("setting", config);
  const { keep, rateLimit, maxActive } = config;
  const { rateLimit: limitBefore, maxActive: activeBefore, ...settings } = yield* turn.settings(queue);
  const limit = rateLimit === undefined ? limitBefore : rateLimit;
  const active = maxActive === undefined ? activeBefore : maxActive;
  yield* turn.configure(queue, {
    ...settings,
    ...(keep && { keep: { ...settings.keep, ...keep } }),
    ...(limit && { rateLimit: limit }),
    ...(active && { maxActive: active }),
  });
  turn.changed(queue, "settings");
  const more = keep !== undefined && (yield* pruneAll(turn, queue));
  return { affected: 0, ...(more && { next: { stretch: 0 } }) };
}

type JobCommand = Extract<Command, { readonly type: "cancel" | "remove" | "retry" | "promote" | "update" }>;

function* onJob(turn: Turn, request: JobCommand): Program<CommandReply> {
  const { type, queue, id } = request;
  const [job] = yield* locate(queue, [id]);
  if (!job) {
    if (type === "cancel" || type === "remove") return { affected: 0 };
    throw new QuaysideError("job_not_found", `Queue ${queue} has no job ${id}.`, { queue, id });
  }
  const run = (yield* turn.leases()).holderOf(job.key);
  const state = stateOf(job.key, turn.now, run !== undefined);
  switch (request.type) {
    case "cancel":
      if (job.key[0] === "finished") return { affected: 0, state };
      if (run) return yield* ask(turn, queue, run, "cancel");
      yield* end(turn, [{ job, ending: CANCELLED }]);
      return { affected: 1, state: "cancelled" };
    case "remove":
      if (run) return yield* ask(turn, queue, run, "remove");
      yield* erase(turn, [job]);
      return { affected: 1 };
    case "retry":
      return yield* retry(turn, job, state);
    case "promote":
      return yield* promote(turn, job, state);
    case "update":
      return yield* update(turn, job, state, request);
  }
}

/** A running job is never touched: its lease entry tells its worker, and whatever becomes of the attempt honours it. */
function* ask(
  turn: Turn,
  queue: string,
  run: { readonly worker: string; readonly held: Held },
  wish: "cancel" | "remove",
): Program<CommandReply> {
  if (run.held.cancel === wish || run.held.cancel === "remove") return { affected: 0, state: "active" };
  (yield* turn.leases()).amend(run.worker, run.held.token, (held) => ({ ...held, cancel: wish }));
  turn.changed(queue, "cancel");
  return { affected: 1, state: "active" };
}

function* erase(turn: Turn, jobs: readonly StoredJob[]): Program<void> {
  yield* forget(
    turn,
    jobs.filter((job) => job.key[0] === "finished"),
  );
  yield* end(
    turn,
    jobs.filter((job) => job.key[0] !== "finished").map((job) => ({ job, ending: CANCELLED, trace: false })),
  );
}

/** An operator's retry: as if the job had never run. */
function* retry(turn: Turn, job: StoredJob, state: JobState): Program<CommandReply> {
  if (state !== "failed" && state !== "cancelled") throw refusal("retried", job, state, "failed or cancelled");
  const refused = yield* refusesRetry(turn, job);
  if (refused) throw refused;
  let next = reset(job, turn.stand());
  for (const plugin of turn.plugins.with("retrying")) next = yield* plugin.retrying(turn, next);
  yield* moveEach(turn, [job], () => next);
  return { affected: 1, state: "waiting" };
}

/** Why a plugin does not let this job be retried. */
function* refusesRetry(turn: Turn, job: StoredJob): Program<Error | undefined> {
  for (const plugin of turn.plugins.with("refusesRetry")) {
    const refused = yield* plugin.refusesRetry(turn, job);
    if (refused) return refused;
  }
  return undefined;
}

function* promote(turn: Turn, job: StoredJob, state: JobState): Program<CommandReply> {
  if (state === "waiting") return { affected: 0, state };
  if (state !== "delayed") throw refusal("promoted", job, state, "delayed");
  yield* moveEach(turn, [job], () => again(job, turn.stand()));
  return { affected: 1, state: "waiting" };
}

const refusal = (verb: string, job: StoredJob, state: JobState, wanted: string): QuaysideError =>
  new QuaysideError("conflict", `Job ${job.id} is ${state}: only a ${wanted} job can be ${verb}.`, {
    id: job.id,
    state,
  });

function* pause(turn: Turn, queue: string, paused: boolean): Program<CommandReply> {
  const { paused: before = false, ...rest } = yield* turn.settings(queue);
  if (before === paused) return { affected: 0 };
  yield* turn.configure(queue, paused ? { ...rest, paused } : rest);
  turn.changed(queue, "settings");
  if (!paused) turn.changed(queue, "ready");
  return { affected: 0 };
}

/** Changes a job that waits: what runs keeps what it was given, what has ended is history. */
function* update(
  turn: Turn,
  job: StoredJob,
  state: JobState,
  { delayMs, ...change }: Extract<Command, { type: "update" }>,
): Program<CommandReply> {
  if (state !== "waiting" && state !== "delayed") throw refusal("updated", job, state, "waiting or delayed");
  const next = updated(job, change, delayMs === undefined ? undefined : turn.stand(delayMs));
  yield* moveEach(turn, [job], () => next);
  turn.changed(job.queue, "ready");
  return { affected: 1, state: stateOf(next.key, turn.now, false) };
}

/** Jobs that one program looks at, so that other workers' claims run between two steps (R32). */
const STEP = 256;

/**
 * Whether a job stood already when a command of several steps began: it does not take what was added behind its back.
 * Within one millisecond the order of placing tells; what seems to be
 * of the future was added before the clock was set back.
 */
const stoodBy = (job: StoredJob, { at, order }: Began, now: number): boolean =>
  job.addedAt < at || job.addedAt > now || (job.addedAt === at && job.key[4] <= order);

function* clear(turn: Turn, request: Extract<Command, { type: "clear" }>, from: Step | undefined): Program<Progressed> {
  const { queue, state } = request;
  const began: Began = from?.began ?? turn.standing;
  const leases = yield* turn.leases();
  let affected = 0;
  if (!from && (state === undefined || state === "active")) {
    const running = leases.all().flatMap((lease) => lease.held.map((held) => ({ worker: lease.key[0], held })));
    const jobs = yield* get(
      "jobs",
      running.map(({ held }) => held.key),
    );
    for (const [index, job] of jobs.entries()) {
      const run = running[index];
      if (job?.queue === queue && run && fits(job, request, turn.now))
        affected += (yield* ask(turn, queue, run, "remove")).affected;
    }
  }
  if (state === "active") return { affected };
  const { found, next } = yield* walk(turn, queue, state, from, STEP);
  const chosen = found
    .map(({ job }) => job)
    .filter(
      (job) => !leases.holderOf(job.key) && (!from || stoodBy(job, began, turn.now)) && fits(job, request, began.at),
    );
  yield* erase(turn, chosen);
  return { affected: affected + chosen.length, ...(next && { next: { ...next, began } }) };
}

function* retryAll(
  turn: Turn,
  request: Extract<Command, { type: "retryAll" }>,
  from: Step | undefined,
): Program<Progressed> {
  const { queue, state = "failed" } = request;
  const lane = startingWith("finished", finishedLane(queue, state));
  // Oldest first, and none twice that failed again meanwhile.
  const until = from?.until ?? (yield* scan("jobs", lane, 1, "reverse"))[0]?.key;
  if (!until) return { affected: 0 };
  const found: readonly StoredJob[] = yield* scan(
    "jobs",
    { from: from?.key ? after(from.key) : lane.from, to: after(until) },
    STEP,
  );
  let affected = 0;
  for (const job of found) {
    if (!fits(job, request, turn.now)) continue;
    // One that cannot be retried stays as it is: the rest shall not fail for it.
    if (yield* refusesRetry(turn, job)) continue;
    affected += (yield* retry(turn, job, state)).affected;
  }
  const last = found[STEP - 1];
  return { affected, ...(last && { next: { stretch: 0, key: last.key, until: until as JobKey } }) };
}

/** Whether a filter means this job. */
export function fits(job: StoredJob, { name, tags, olderThanMs }: JobFilter, now: number): boolean {
  return (
    (name === undefined || job.name === name) &&
    (tags === undefined || tags.every((tag) => job.tags?.includes(tag))) &&
    (olderThanMs === undefined || (job.finishedAt ?? job.addedAt) < now - olderThanMs)
  );
}
