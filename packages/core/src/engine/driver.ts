import type { JobRecord } from "../job/job-record.ts";
import type { NewJob } from "../job/new-job.ts";
import type { Change, Liveness } from "./store.ts";
import type {
  Command,
  CommandReply,
  EnqueueReceipt,
  ExchangeReply,
  ExchangeRequest,
  JobCounts,
  JobPage,
  ListQuery,
  NumberedRequest,
  Schedule,
} from "./verbs.ts";

/**
 * The port between queues or workers and the place where jobs are stored. Called in process, over RPC and over HTTP, so
 * all arguments and results are plain data. **No call carries an absolute time**: the process that owns the storage
 * owns the clock, and callers send delays in ms. Every call is atomic. Errors are `QuaysideError`s with a stable
 * `code`.
 */
export interface Driver {
  /**
   * Stores the jobs, all or none, and returns one receipt per job, in order, when they are durable. A job whose id or
   * dedupe key is taken is not stored: its receipt has the id of the existing job (`deduplicated: true`). A repeated
   * `request` gets the same receipts as before; a request with the same number and another digest is refused with
   * `mark_conflict`.
   */
  enqueue(jobs: readonly NewJob[], request?: NumberedRequest): Promise<readonly EnqueueReceipt[]>;

  /**
   * Runs one exchange of a worker: settles ended attempts, renews running ones, claims more. A worker runs one exchange
   * at a time, numbered from 1. A repeat with the same number, after a lost reply, changes nothing and gets the same
   * reply. A lower number than the last is refused with `stale_exchange`.
   */
  exchange(request: ExchangeRequest): Promise<ExchangeReply>;

  get(queue: string, id: string): Promise<JobRecord | undefined>;

  /** Returns a page of jobs of one state (or of all) in claim order; ended jobs newest first. */
  list(query: ListQuery): Promise<JobPage>;

  /**
   * Returns the counts of a queue. Reads the keys of delayed jobs, some thousands per transaction, and no other jobs.
   */
  counts(queue: string): Promise<JobCounts>;

  /** Returns the recurrences of a queue. */
  schedules(queue: string): Promise<readonly Schedule[]>;

  /** Runs an operator's command; see `Command`. */
  command(command: Command): Promise<CommandReply>;

  /**
   * Returns the ms until a claim from one of these queues could first succeed (0: now). Undefined if no waiting job
   * will become due.
   */
  nextWake(queues: readonly string[]): Promise<number | undefined>;

  /**
   * Calls the listener after changes, by this process or another. The listener may be called too often or late, but no
   * change stays unreported for long.
   *
   * @param closed called once when this driver is closed, so that waiting callers call again and are refused.
   */
  watch(listener: (change: Change) => void, closed?: () => void): () => void;

  /** Registers a worker as alive, for example by a lock. Returns how its death is detected. */
  register(worker: string): Promise<Registration>;

  /**
   * Calls `begin` and `end` of the session when the worker may become active and must stop: a page may be put into the
   * back/forward cache, or one tab works for all. Calls `begin` before it returns if the worker may be active now. See
   * `alwaysActive`.
   *
   * @returns a function for a worker that has stopped, which ends the session.
   */
  onActiveChange(session: WorkerSession): () => void;

  /** The state of the network for this driver's workers. Undefined: they count as online. */
  readonly connectivity: Connectivity | undefined;

  close(): Promise<void>;
}

/** The callbacks of a worker that its driver starts and stops. `begin` and `end` alternate. */
export interface WorkerSession {
  /**
   * Whether a waiting call such as `drain` requested the session. Such a session does not wait for the leadership of
   * the tab.
   */
  readonly urgent?: boolean;
  begin(): void;
  /**
   * Aborts the running handlers and releases their jobs. The synchronous part, which must happen before a page is
   * hidden, is done when this returns. The worker reports `cause`.
   */
  end(cause?: unknown): Promise<void>;
  /** Runs an exchange now, to check for jobs of a dead worker. */
  look(): void;
}

/**
 * The state of the network. A hint: it wakes workers, and distinguishes failures of the network from failures of a job.
 * It does not hold jobs back.
 */
export interface Connectivity {
  isOnline(): boolean;
  /** Calls the listener when the result of `isOnline` may have changed. */
  watch(listener: () => void): () => void;
  /** Asks a server whether it can be reached. Recognises networks that are connected but have no internet access. */
  readonly probe?: (() => Promise<boolean>) | undefined;
}

/** A worker's registration as alive, until `leave`. */
export interface Registration {
  readonly liveness: Liveness;
  /** Ends the registration: releases the worker's lock, if it has one. */
  leave(): void;
}

/** `Driver.onActiveChange` for drivers whose workers are always active: begins the session and never ends it. */
export function alwaysActive(session: WorkerSession): () => void {
  session.begin();
  return () => {};
}

/** `Driver.register` for drivers without locks. Only the renewals of a worker's lease show that it is alive. */
export const timeLiveness = async (): Promise<Registration> => ({ liveness: "time", leave() {} });
