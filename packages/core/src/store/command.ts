import { QuaysideError } from "../job/errors.ts";
import { finishedLane, readyLane } from "../job/place.ts";
import type { JobState, StoredJob } from "../job/record.ts";
import { type Ending, readyKey, reset, stateOf } from "../job/transitions.ts";
import { dedupeKey, end, forget, locate, move, pruneAll } from "./door.ts";
import { dedupeRecord, isTaken } from "./enqueue.ts";
import { blockedLanes, ranks } from "./inspect.ts";
import { after, get, put, type Range, scan, startingWith } from "./operations.ts";
import type { Held, Key, Program } from "./store.ts";
import type { Turn } from "./turn.ts";
import type { Command, CommandReply } from "./verbs.ts";

const CANCELLED: Ending = { state: "cancelled" };

/** Runs one operator's command. `clear` and `configure` do a bounded part: repeat while `more`. */
export function* command(turn: Turn, request: Command): Program<CommandReply & { readonly more?: boolean }> {
  switch (request.type) {
    case "cancel":
    case "remove":
    case "retry":
    case "promote":
      return yield* onJob(turn, request.type, request.queue, request.id);
    case "clear":
      return yield* clear(turn, request.queue, request.state);
    case "pause":
    case "resume":
      return yield* pause(turn, request.queue, request.type === "pause");
    case "configure": {
      const settings = yield* turn.settings(request.queue);
      yield* turn.configure(request.queue, {
        ...settings,
        ...(request.keep && { keep: { ...settings.keep, ...request.keep } }),
      });
      turn.changed(request.queue, "settings");
      return { affected: 0, more: yield* pruneAll(turn, request.queue) };
    }
  }
}

type JobVerb = "cancel" | "remove" | "retry" | "promote";

function* onJob(turn: Turn, verb: JobVerb, queue: string, id: string): Program<CommandReply> {
  const [job] = yield* locate(queue, [id]);
  if (!job) {
    if (verb === "cancel" || verb === "remove") return { affected: 0 };
    throw new QuaysideError("job_not_found", `Queue ${queue} has no job ${id}.`, { queue, id });
  }
  const run = (yield* turn.leases()).holderOf(job.key);
  const state = stateOf(job.key, turn.now, run !== undefined);
  switch (verb) {
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

/** An operator's retry: as if the job had never run. Takes its dedupe key again, or says who has it. */
function* retry(turn: Turn, job: StoredJob, state: JobState): Program<CommandReply> {
  if (state !== "failed" && state !== "cancelled") throw refusal("retried", job, state, "failed or cancelled");
  if (job.dedupe) {
    const [record] = yield* get("dedupe", [dedupeKey(job.queue, job.dedupe.key)]);
    if (record && record.holder !== job.id && isTaken(record, turn.now)) {
      throw new QuaysideError(
        "conflict",
        `Job ${job.id} cannot be retried: its dedupe key is taken by job ${record.holder}.`,
        { id: job.id, holder: record.holder },
      );
    }
    yield* put("dedupe", [dedupeRecord(turn, job, job.dedupe)]);
  }
  yield* move(turn, [{ from: job.key, job: reset(job, turn.stand()) }]);
  return { affected: 1, state: "waiting" };
}

function* promote(turn: Turn, job: StoredJob, state: JobState): Program<CommandReply> {
  if (state === "waiting") return { affected: 0, state };
  if (state !== "delayed") throw refusal("promoted", job, state, "delayed");
  const stand = turn.stand();
  yield* move(turn, [
    { from: job.key, job: { ...job, key: readyKey(job.queue, job.priority, stand), availableAt: stand.at } },
  ]);
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

/** Jobs that one program clears: a long history must not make one long transaction. */
const CLEAR_STEP = 1_000;

function* clear(
  turn: Turn,
  queue: string,
  state: JobState | undefined,
): Program<CommandReply & { readonly more: boolean }> {
  const leases = yield* turn.leases();
  let asked = 0;
  if (state === undefined || state === "active") {
    for (const lease of leases.all()) {
      for (const held of lease.held.filter((entry) => leases.heldOf(queue).some(({ key }) => key === entry.key))) {
        asked += (yield* ask(turn, queue, { worker: lease.key[0], held }, "remove")).affected;
      }
    }
  }
  let left = CLEAR_STEP;
  for (const range of yield* rangesOf(turn, queue, state)) {
    for (let from: Key | undefined = range.from; from && left > 0; ) {
      const page: readonly StoredJob[] = yield* scan("jobs", { from, to: range.to }, CLEAR_STEP);
      const last = page[page.length - 1];
      from = last && page.length === CLEAR_STEP ? after(last.key) : undefined;
      // Running jobs stay where they stand: read over them.
      const meant = page.filter(
        (job) => !leases.holderOf(job.key) && (state === undefined || stateOf(job.key, turn.now, false) === state),
      );
      const cleared = meant.slice(0, left);
      yield* erase(turn, cleared);
      left -= cleared.length;
    }
  }
  return { affected: asked + CLEAR_STEP - left, more: left <= 0 };
}

function* rangesOf(turn: Turn, queue: string, state: JobState | undefined): Program<readonly Range[]> {
  const lane = readyLane(queue);
  switch (state) {
    case undefined:
      return [
        startingWith("ready", lane),
        blockedLanes(queue),
        ...(["completed", "failed", "cancelled"] as const).map((end) =>
          startingWith("finished", finishedLane(queue, end)),
        ),
      ];
    case "active":
      return [];
    case "waiting":
      // Also those that wait in spite of a future instant, after the clock was set back.
      return [startingWith("ready", lane), blockedLanes(queue)];
    case "delayed":
      return (yield* ranks(lane)).map((rank) => ({
        from: ["ready", lane, rank, turn.now + 1],
        to: ["ready", lane, rank + 1],
      }));
    default:
      return [startingWith("finished", finishedLane(queue, state))];
  }
}
