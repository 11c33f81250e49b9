import * as DEFAULTS from "./defaults.ts";
import {
  type BlockReason,
  blockedLane,
  blockOf,
  endStateOf,
  finishedLane,
  queueOf,
  readyLane,
  spellId,
} from "./job-keys.ts";
import type { EndState, JobKey, JobRecord, JobState, Keep, Place, StoredJob, StoredOptions } from "./job-record.ts";
import type { Json } from "./json.ts";
import * as LIMITS from "./limits.ts";
import type { NewJob } from "./new-job.ts";
import { backoffDelay } from "./retry.ts";
import type { StoredError } from "./stored-error.ts";

/** Pure decisions about jobs: each takes a record and an event and returns the next record. */

/** The part of a job's key that orders jobs of equal priority: their time, and the order of adding. */
export interface QueuePosition {
  readonly at: number;
  readonly order: number;
  readonly tag: string;
}

/** Returns the key of a waiting job. `0 - priority` avoids −0, which some stores treat as another key than 0. */
export const readyKey = (queue: string, priority: number, stand: QueuePosition): JobKey => [
  "ready",
  readyLane(queue),
  0 - priority,
  stand.at,
  stand.order,
  stand.tag,
];

/** Returns whether a job was added without a delay; its `order` is then even: see `SequenceGenerator`. */
export const isUndelayed = (key: JobKey): boolean => key[4] % 2 === 0;

/** Creates the record of a new waiting job at the position `stand`. */
export function readyStored(job: NewJob, stand: QueuePosition, now: number): StoredJob {
  const { queue, name, payload, priority = 0, expiresInMs } = job;
  const key = readyKey(queue, priority, stand);
  const id = job.id ?? spellId(key);
  const stored: Writable<StoredJob> = { key, id, queue, name, payload, priority, addedAt: now, availableAt: stand.at };
  copyDefined(job, stored, STORED_OPTIONS);
  if (expiresInMs !== undefined) stored.expiresAt = now + expiresInMs;
  return stored;
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

const namesOf = <Name extends string>(names: Record<Name, true>): ReadonlySet<string> => new Set(Object.keys(names));

const STORED_OPTIONS = namesOf<keyof StoredOptions>({
  maxAttempts: true,
  backoff: true,
  timeoutMs: true,
  dedupe: true,
  group: true,
  maxExceptions: true,
  maxInterruptions: true,
  tags: true,
  keep: true,
  requires: true,
  trace: true,
  sealed: true,
});

/** Copies the defined fields in `names`. Runs for every job; a loop over the present fields is the fastest way. */
function copyDefined<From extends object>(from: From, to: object, names: ReadonlySet<string>): void {
  for (const name in from) {
    if (names.has(name) && from[name] !== undefined) (to as Partial<From>)[name] = from[name];
  }
}

/** Returns a waiting job with the payload and options of another. `stand`: its new position, if its delay restarts. */
export function replaced(job: StoredJob, by: NewJob, now: number, stand: QueuePosition | undefined): StoredJob {
  const [place, lane, , at, order, tag] = job.key;
  const next: Writable<StoredJob> = readyStored({ ...by, id: job.id }, stand ?? { at, order, tag }, now);
  copyDefined(job, next, KEPT_WHEN_REPLACED);
  return waitsFor(job.key, "successor", "children") ? inLane(next, place, lane) : next;
}

const KEPT_WHEN_REPLACED: ReadonlySet<string> = new Set<keyof StoredJob>([
  "addedAt",
  "attempts",
  "interruptions",
  "exceptions",
  "error",
  "logs",
  "parent",
  "otherParents",
  "hasChildren",
  "recurrence",
  "scheduledFor",
]);

const waitsFor = (key: JobKey, ...reasons: readonly BlockReason[]): boolean =>
  reasons.some((reason) => reason === blockOf(key)?.[0]);

/** Returns the job with a key in another place and lane, and the same rank, time and order. */
function inLane(job: StoredJob, place: Place, lane: string): StoredJob {
  const [, , ...rest] = job.key;
  return { ...job, key: [place, lane, ...rest] };
}

/** Returns the job, waiting at the position `stand`, with unchanged counts. */
export function again(job: StoredJob, stand: QueuePosition): StoredJob {
  return { ...job, key: readyKey(job.queue, job.priority, stand), availableAt: stand.at };
}

/** The delay of a released or retried job, and its number of successive short delays. */
export interface Pace {
  readonly delayMs: number;
  readonly repeats: number;
}

/** Lengthens the delay of a job that is repeatedly released or retried with a short one (R40). */
export function paceOf({ repeats: before = 0 }: StoredJob, delayMs: number): Pace {
  if (delayMs >= DEFAULTS.shortRepeatMs) return { delayMs, repeats: 0 };
  const repeats = before + 1;
  const over = repeats - DEFAULTS.freeRepeats;
  return { delayMs: over > 0 ? backoffDelay(DEFAULTS.repeatBackoff, over, 0) : delayMs, repeats };
}

function withRepeats({ repeats: _, ...job }: StoredJob, repeats: number): StoredJob {
  return repeats > 0 ? { ...job, repeats } : job;
}

/** Returns the job after a failed attempt that will be retried: it waits at the position `stand`. */
export function retried(job: StoredJob, stand: QueuePosition, pace: Pace, error: StoredError, run: Seen): StoredJob {
  return { ...released(job, stand, pace, run), ...counted(job, error), error, startedAt: run.startedAt };
}

/** Fields that an attempt adds to its job's record. */
export interface Seen {
  readonly startedAt: number;
  readonly logs?: readonly string[] | undefined;
}

/** Returns a job's counts with one more attempt and, unless it timed out, one more exception. */
function counted(job: StoredJob, error: StoredError | undefined): Pick<StoredJob, "attempts" | "exceptions"> {
  const exceptions = exceptionsOf(job) + (error && error.code !== "timeout" ? 1 : 0);
  return { attempts: attemptsOf(job) + 1, ...(exceptions > 0 && { exceptions }) };
}

function withLog(job: StoredJob, { logs }: Partial<Seen>): StoredJob {
  return logs ? { ...job, logs: [...(job.logs ?? []), ...logs].slice(-LIMITS.logLines) } : job;
}

/** Returns whether a job has no attempt left after one that failed with this error. */
export const isSpent = (job: StoredJob, error: StoredError): boolean => {
  const { attempts = 0, exceptions = 0 } = counted(job, error);
  return attempts >= maxAttemptsOf(job) || exceptions >= (job.maxExceptions ?? Number.POSITIVE_INFINITY);
};

/** Returns a job that its handler released: it waits at `stand`, or keeps its position. The attempt does not count. */
export const released = (job: StoredJob, stand: QueuePosition | undefined, { repeats }: Pace, run: Seen): StoredJob => {
  const next = withRepeats(withLog(job, run), repeats);
  return stand ? again(next, stand) : next;
};

/** Returns the job after its worker died: it waits at `stand`. Attempts and logs are kept. */
export const interrupted = (job: StoredJob, stand: QueuePosition, run: Seen): StoredJob =>
  withLog(again(job, stand), run);

export const interruptionDelay = (interruptions: number, random: number): number =>
  backoffDelay(DEFAULTS.interruptionBackoff, interruptions, random);

/** Returns the job as new, waiting at `stand`, after an operator's retry. Its last error is kept. */
export function reset(job: StoredJob, stand: QueuePosition): StoredJob {
  const { attempts, interruptions, exceptions, repeats, finishedAt, startedAt, result, progress, expiresAt, ...rest } =
    job;
  return again(rest, stand);
}

/**
 * Returns the job with another payload, priority or (with `stand`) delay. It stays blocked, except by its group or name
 * after a new delay: it must not come before other jobs of the group that are due.
 */
export function updated(
  { sealed: before, ...job }: StoredJob,
  {
    payload,
    sealed = payload === undefined ? before : undefined,
    priority = job.priority,
  }: { readonly [Name in "payload" | "sealed" | "priority"]?: StoredJob[Name] | undefined },
  stand: QueuePosition | undefined,
): StoredJob {
  const [place, lane, , at, order, tag] = job.key;
  const next = again(
    { ...job, payload: payload ?? job.payload, priority, ...(sealed && { sealed }) },
    stand ?? { at, order, tag },
  );
  return stand && waitsFor(job.key, "group", "name") ? next : inLane(next, place, lane);
}

/** Returns the job moved to the blocked place. `returned` moves it back to the same position. */
export function blocked(job: StoredJob, reason: BlockReason, value: string): StoredJob {
  return inLane(job, "blocked", blockedLane(job.queue, reason, value));
}

export function returned(job: StoredJob): StoredJob {
  return inLane(job, "ready", readyLane(job.queue));
}

/** How a job ends, with the fields to store. */
export interface Ending extends Partial<Seen> {
  readonly state: EndState;
  readonly error?: StoredError | undefined;
  /** The result as JSON text. */
  readonly result?: string | undefined;
  readonly progress?: Json | undefined;
  /** Whether the attempt that ended the job counts. */
  readonly counted?: boolean | undefined;
}

/** Creates the record of an ended job: the one with this number in its finished lane, which ended at `stand`. */
export function ended(job: StoredJob, ending: Ending, number: number, stand: QueuePosition): StoredJob {
  const { state, counted: counts, logs: _, ...outcome } = ending;
  return {
    ...withLog(job, ending),
    ...(counts && counted(job, ending.error)),
    ...outcome,
    key: ["finished", finishedLane(job.queue, state), number, stand.at, stand.order, stand.tag],
    finishedAt: stand.at,
  };
}

const attemptsOf = (job: StoredJob): number => job.attempts ?? 0;
const maxAttemptsOf = (job: StoredJob): number => job.maxAttempts ?? DEFAULTS.maxAttempts;
const exceptionsOf = (job: StoredJob): number => job.exceptions ?? 0;
export const interruptionsOf = (job: StoredJob): number => job.interruptions ?? 0;
export const isExpired = (job: StoredJob, now: number): boolean => job.expiresAt !== undefined && job.expiresAt <= now;

/** Returns the number of ended jobs to keep: the job's option, else the queue's setting, else the default. */
export const keepOf = (job: StoredJob | undefined, settings: Partial<Keep> | undefined, state: EndState): number =>
  job?.keep?.[state] ?? settings?.[state] ?? DEFAULTS.keep[state];

export const EXPIRED: StoredError = { code: "expired", message: "The job was not started before it expired." };
/** Returns the number of interruptions at which a job fails. */
export const maxInterruptionsOf = (job: StoredJob): number => job.maxInterruptions ?? DEFAULTS.maxInterruptions;
export const isOver = (job: StoredJob): boolean => interruptionsOf(job) >= maxInterruptionsOf(job);
export const interruptedError = (job: StoredJob): StoredError => ({
  code: "interrupted",
  message: `Its worker died (a crash, a closed tab, an eviction) as often as it may: ${maxInterruptionsOf(job)}.`,
});

export const END_STATES: readonly EndState[] = ["completed", "failed", "cancelled"];
export const STATES: readonly JobState[] = ["waiting", "delayed", "active", ...END_STATES];

/** Returns the state of a job from its key at the time `now`. `running`: a lease lists the job. */
export function stateOf(key: JobKey, now: number, running: boolean): JobState {
  if (key[0] === "finished") return endStateOf(key);
  if (running) return "active";
  return key[0] === "ready" && key[3] > now && !isUndelayed(key) ? "delayed" : "waiting";
}

/** Returns the public record of a stored job. `run` is its lease entry while it runs. */
export function toJobRecord(job: StoredJob, now: number, run?: Seen & Pick<JobRecord, "progress">): JobRecord {
  const { key, result, tags = [], logs = [] } = job;
  const record: Writable<JobRecord> = {
    id: job.id,
    queue: queueOf(key),
    name: job.name,
    payload: JSON.parse(job.payload),
    state: stateOf(key, now, run !== undefined),
    priority: job.priority,
    addedAt: job.addedAt,
    availableAt: job.availableAt,
    attempts: attemptsOf(job) + (run ? 1 : 0),
    maxAttempts: maxAttemptsOf(job),
    interruptions: interruptionsOf(job),
    exceptions: exceptionsOf(job),
    tags,
    logs: run?.logs ? [...logs, ...run.logs] : logs,
  };
  for (const name in job) {
    const value = job[name as keyof StoredJob];
    if (!(name in record || HIDDEN.has(name)) && value !== undefined) (record as Record<string, unknown>)[name] = value;
  }
  const block = blockOf(key);
  if (block) [record.blockedBy] = block;
  if (result !== undefined) record.result = JSON.parse(result) as Json;
  if (run) record.startedAt = run.startedAt;
  if (run?.progress !== undefined) record.progress = run.progress;
  return record;
}

/** Fields of a stored job that a public record does not copy. */
const HIDDEN = namesOf<Exclude<keyof StoredJob, keyof JobRecord> | "result">({
  key: true,
  keep: true,
  repeats: true,
  otherParents: true,
  result: true,
});
