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
 * The job port: what a queue and a worker need, and no more. It is spoken in process, over RPC and over HTTP, so
 * everything in it is plain data. **No call carries an absolute time**: the process that owns the storage owns the
 * clock, and callers send delays in ms. Every call is atomic. Errors are `QuaysideError`s with a stable `code`.
 */
export interface Driver {
  /**
   * Stores the jobs, all or none, and answers one receipt a job, in order, once they are durable. A job whose id or
   * dedupe key is taken is not stored: its receipt names the job that exists (`deduplicated: true`). A `request` that
   * was made before answers as it did then; the same number with another digest is refused with `mark_conflict`.
   */
  enqueue(jobs: readonly NewJob[], request?: NumberedRequest): Promise<readonly EnqueueReceipt[]>;

  /**
   * One round of a worker: settle what ended, renew what runs, claim more. A worker has one exchange in flight,
   * numbered from 1; sent again with the same number after a lost answer, it changes nothing and answers the same.
   * A number lower than the last one is refused with `stale_exchange`.
   */
  exchange(request: ExchangeRequest): Promise<ExchangeReply>;

  get(queue: string, id: string): Promise<JobRecord | undefined>;

  /** A page of jobs of one state (or of all), in claim order, ended ones newest first. */
  list(query: ListQuery): Promise<JobPage>;

  /** Does not scan the backlog, apart from delayed jobs: of those it reads the keys, some thousand at a time. */
  counts(queue: string): Promise<JobCounts>;

  /** The recurrences of a queue. */
  schedules(queue: string): Promise<readonly Schedule[]>;

  /** One operator's action; see `Command`. */
  command(command: Command): Promise<CommandReply>;

  /** Ms until a claim on one of these queues could first succeed (0: now); undefined when nothing is to come. */
  nextWake(queues: readonly string[]): Promise<number | undefined>;

  /**
   * Calls back after something changed, here or elsewhere. May tell too much, and late; never too little for long.
   *
   * @param closed called once when this driver is closed: what waits for a change then asks again, and is refused.
   */
  watch(listener: (change: Change) => void, closed?: () => void): () => void;

  /** Takes the lock that shows this worker alive, where there is such a thing; answers how its death will show. */
  register(worker: string): Promise<Registration>;

  /**
   * Tells a worker when it may work here and when it must let go at once: where a page can be put aside while it lives, or
   * one tab works for all. Where it may work now, `begin` is called before this returns. See `alwaysActive`.
   *
   * @returns what ends it, for a worker that has stopped.
   */
  onActiveChange(session: WorkerSession): () => void;

  /** The network, as it is seen from where this driver's workers run. Undefined: it counts as there. */
  readonly connectivity: Connectivity | undefined;

  close(): Promise<void>;
}

/** A worker's time at work, as its driver steers it. `begin` and `end` take turns. */
export interface WorkerSession {
  /** It was asked for by a call that waits for it, such as `drain`: where one tab works for all, it need not be that tab. */
  readonly urgent?: boolean;
  begin(): void;
  /**
   * Aborts what runs and gives it back. What must happen before the page is put aside has begun when this returns. An
   * error that is the cause is reported by the worker.
   */
  end(cause?: unknown): Promise<void>;
  /** Another worker is gone: looks now for the jobs that it held. */
  look(): void;
}

/**
 * The state of the network. Hints: they wake workers, and they tell a failure of the network from one of the job. No job is
 * held back because of them.
 */
export interface Connectivity {
  isOnline(): boolean;
  /** Calls back when `isOnline` may have changed. */
  watch(listener: () => void): () => void;
  /** Asks a server whether it can be reached: for networks that only look as if they were there. */
  readonly probe?: (() => Promise<boolean>) | undefined;
}

/** A worker that is registered as alive, until it leaves. */
export interface Registration {
  readonly liveness: Liveness;
  /** Gives the lock back. */
  leave(): void;
}

/** `Driver.onActiveChange` of a driver whose workers may always work. */
export function alwaysActive(session: WorkerSession): () => void {
  session.begin();
  return () => {};
}

/** `Driver.register` of a driver that takes no locks: the lease of a worker shows whether it lives. */
export const timeLiveness = async (): Promise<Registration> => ({ liveness: "time", leave() {} });
