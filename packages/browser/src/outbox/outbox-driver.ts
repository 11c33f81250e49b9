import {
  type Clock,
  type Driver,
  type JobCounts,
  type JobPage,
  type JobRecord,
  QuaysideError,
  type Schedule,
  systemClock,
} from "@quayside/core";
import {
  alwaysActive,
  type Change,
  type Command,
  type CommandReply,
  checkName,
  checkPathName,
  type EnqueueReceipt,
  type ExchangeReply,
  type ExchangeRequest,
  type ListQuery,
  type NewJob,
  type NumberedRequest,
  type Registration,
  type WorkerSession,
} from "@quayside/core/engine";
import { databaseName } from "../idb/database-name.ts";
import { IndexedDbDriver } from "../idb/indexed-db-driver.ts";
import { OutboxEmitter, type OutboxEvents } from "./events.ts";
import { Forwarder } from "./forwarder.ts";
import { OutboxNames } from "./local-queue-names.ts";
import { OutboxStore } from "./outbox-store.ts";
import { known, NO_JOBS, NONE_KNOWN } from "./partial-answers.ts";
import type { RemoteStatus } from "./status-channel.ts";

/** Options of `outboxDriver`. */
export interface OutboxDriverOptions {
  /** Stores jobs until the remote has them. An `IndexedDbDriver` is always used with strict durability. */
  readonly local: Driver;
  /** The driver to which jobs are forwarded, for example an `httpDriver`. */
  readonly remote: Driver;
  /**
   * Name of the jobs' owner, for example the signed-in user. This driver neither shows nor forwards jobs of other
   * partitions. Default: `default`.
   */
  readonly partition?: string | undefined;
  /**
   * Name of the remote. Jobs added for one remote are never sent to another: they wait, and `elsewhere` reports them.
   * Default: the URL of an `httpDriver`, `""` for a driver without a `url`. Drivers without a `url` that share a local
   * store and a partition need different names. When a URL changes, pass the old URL here to send the waiting jobs.
   */
  readonly remoteName?: string | undefined;
  /** The clock, for tests. Default: the system clock. */
  readonly clock?: Clock | undefined;
  /** Returns a number in [0, 1), for tests. Default: `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/**
 * The state of an outbox. `lastError` is the error of the last attempt to reach the remote, in any tab; absent after a
 * successful attempt.
 */
export interface OutboxState extends RemoteStatus {
  /** Number of jobs that the remote has not received yet. */
  readonly pending: number;
  /** Number of jobs that the remote refused. */
  readonly failed: number;
  /** Other remotes for which jobs of this partition wait, if any. */
  readonly elsewhere?: readonly { readonly remote: string; readonly pending: number }[] | undefined;
}

/**
 * Creates a driver that adds jobs to a local store, durably and offline, and forwards them to a remote, in order, each
 * once and with the same id. See `OutboxDriver`.
 *
 * @example
 * const driver = outboxDriver({
 *   local: indexedDbDriver({ name: "my-app" }),
 *   remote: httpDriver({ url: "/api/queues", token }),
 *   partition: user.id,
 * });
 * const mail = new Queue<Jobs>("mail", driver);
 * const id = await mail.addJob("email", { to, subject, body });   // offline, too
 * driver.on("refused", ({ id, error }) => show(id, error));
 */
export function outboxDriver(options: OutboxDriverOptions): OutboxDriver {
  return new OutboxDriver(options);
}

/**
 * A driver that stores jobs locally and delivers them to a remote.
 * - `enqueue` resolves when the jobs are on the local disk. Flows are refused, because their jobs must be added
 *   together at the remote.
 * - `get`, `list`, `counts` and commands on jobs use the outbox for undelivered jobs and the remote for all others. An
 *   undelivered job is `waiting` with `blockedBy: "outbox"`; a refused job is `failed` with the remote's error. While the
 *   remote cannot be reached, `counts` and `list`, and so live values, return the jobs of the outbox with `partial: true`.
 * - All other verbs (`exchange`, `nextWake`, `schedules`, settings) go to the remote, so a `QueueWorker` runs the
 *   remote's jobs. Offline, they reject with `network`.
 * - A cancel of a job that is being sent is stored locally and forwarded after the remote's answer.
 *
 * Jobs are sent in numbered batches. A batch whose answer was lost is sent again unchanged. The remote recognises its
 * number for 90 days, so its jobs are added once.
 *
 * A job fails only if the API itself refuses it: for an error in the job, a token that may not add it (403
 * `forbidden`), or a size limit (413). While the user is signed out (401, or no token), or a firewall or captive portal
 * answers 403, the jobs are held and none fails: `state().paused` is `"auth"`, with the events `paused` and `resumed`.
 * The jobs are also held (`wrong_subject`) if a batch whose answer was lost was sent for one user and the token is now
 * another user's: sent for the second user, its jobs could be added twice. Held jobs are tried again at intervals, and
 * at once by `forward()`. Any other error is retried without end after 1 s, 2 s, 4 s … up to 5 minutes, or later if the
 * server asks for it. `close` closes both drivers.
 */
export class OutboxDriver implements Driver {
  readonly connectivity = undefined;
  readonly #local: Driver;
  readonly #opened: readonly Driver[];
  readonly #remote: Driver;
  readonly #names: OutboxNames;
  readonly #events = new OutboxEmitter();
  readonly #store: OutboxStore;
  readonly #forwarder: Forwarder;

  constructor(options: OutboxDriverOptions) {
    const { local, remote, partition = "default", clock = systemClock, random = Math.random } = options;
    const { remoteName = urlOf(remote) } = options;
    checkName(partition, "partition");
    const stored = local instanceof IndexedDbDriver;
    this.#local = stored ? local.strict() : local;
    this.#opened = stored ? [this.#local, local, remote] : [local, remote];
    this.#remote = remote;
    this.#names = new OutboxNames(partition, remoteName);
    const parts = { names: this.#names, local: this.#local, remote, clock, random, events: this.#events };
    this.#store = new OutboxStore({ ...parts, partition, remoteName });
    const lock = stored ? `${databaseName(local.name)}:${this.#names.register}` : undefined;
    this.#forwarder = new Forwarder({ ...parts, store: this.#store, lock });
    if (stored) local.watchVersion((error) => this.#forwarder.outdate(error));
  }

  /** Adds an event listener. Returns a function that removes it. Events are emitted in the tab that forwards. */
  on<Name extends keyof OutboxEvents>(name: Name, listener: (event: OutboxEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** Returns the state. Call it again after an event or a call of a `watch` listener. */
  async state(): Promise<OutboxState> {
    const totals = await this.#store.totals();
    const elsewhere = await this.#store.elsewhere();
    return { ...totals, ...this.#forwarder.status, ...(elsewhere.length > 0 && { elsewhere }) };
  }

  /**
   * Ends the pauses after failures, so that waiting jobs are sent now. Call it after a sign-in, for a button, or when
   * only the app detects that the network is back. A pause that the server asked for (`Retry-After`) is kept.
   */
  forward(): void {
    this.#forwarder.retryNow();
  }

  /**
   * Removes all jobs of this partition for this remote, for a sign-out. None of the jobs is delivered, except those
   * being sent at this moment. Jobs of other partitions and remotes stay. A job added meanwhile is removed or stays in
   * the outbox: see `state()`.
   */
  purge(): Promise<void> {
    return this.#forwarder.purge();
  }

  async enqueue(jobs: readonly NewJob[], request?: NumberedRequest): Promise<readonly EnqueueReceipt[]> {
    if (jobs.length === 0) return [];
    jobs.forEach(checkJob);
    const receipts = await this.#store.add(jobs, request);
    this.#forwarder.added();
    return receipts;
  }

  async get(queue: string, id: string): Promise<JobRecord | undefined> {
    return (await this.#store.get(queue, id)) ?? this.#remote.get(queue, id);
  }

  /** Returns a page of jobs. Undelivered jobs come first, on pages of their own, which need no network. */
  async list({ cursor, ...query }: ListQuery): Promise<JobPage> {
    const { stage, at } = cursor === undefined ? { stage: 0 } : readCursor(cursor);
    const here = stage === undefined ? undefined : await this.#store.list({ ...query, ...at }, stage);
    if (!here) {
      const page = await known(this.#remote.list({ ...query, ...(stage === undefined && at) }), NO_JOBS);
      return page.cursor === undefined ? page : { ...page, cursor: writeCursor(undefined, page.cursor) };
    }
    return { jobs: here.jobs, cursor: writeCursor(here.next, here.cursor) };
  }

  async counts(queue: string): Promise<JobCounts> {
    const [here, there] = await Promise.all([this.#store.counts(queue), known(this.#remote.counts(queue), NONE_KNOWN)]);
    return {
      ...there,
      waiting: here.waiting + there.waiting,
      failed: here.failed + there.failed,
      cancelled: here.cancelled + there.cancelled,
    };
  }

  async command(command: Command): Promise<CommandReply> {
    if ("id" in command) return (await this.#store.command(command)) ?? this.#remote.command(command);
    if (command.type !== "clear" && command.type !== "retryAll") return this.#remote.command(command);
    const here = await this.#store.commandAll(command);
    const { affected, ...rest } = await this.#remote.command(command);
    return { ...rest, affected: here + affected };
  }

  exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    return this.#remote.exchange(request);
  }

  schedules(queue: string): Promise<readonly Schedule[]> {
    return this.#remote.schedules(queue);
  }

  nextWake(queues: readonly string[]): Promise<number | undefined> {
    return this.#remote.nextWake(queues);
  }

  register(worker: string): Promise<Registration> {
    return this.#remote.register(worker);
  }

  onActiveChange(session: WorkerSession): () => void {
    return alwaysActive(session);
  }

  watch(listener: (change: Change) => void, closed?: () => void): () => void {
    const unwatch = [
      this.#remote.watch(listener, closed),
      this.#local.watch(({ queue: local, kind }) => {
        const queue = this.#names.target(local);
        if (queue !== undefined && kind !== "active") listener({ queue, kind });
      }),
    ];
    return () => {
      for (const stop of unwatch) stop();
    };
  }

  async close(): Promise<void> {
    this.#forwarder.stop();
    for (const driver of this.#opened) await driver.close();
  }
}

/** Returns the absolute URL of a driver that has one, so that the URL is equal on all pages of the site. */
function urlOf(remote: Driver): string {
  const { url } = remote as { readonly url?: unknown };
  if (typeof url !== "string") return "";
  try {
    return new URL(url, globalThis.location?.href).href;
  } catch {
    return url;
  }
}

/** Throws for a job that the remote would refuse later. */
function checkJob({ queue, flow, dedupe, group }: NewJob): void {
  checkPathName(queue, "queue");
  if (dedupe) checkName(dedupe.key, "dedupe.key");
  if (group) checkName(group.key, "group.key");
  if (flow) {
    throw new QuaysideError(
      "invalid_option",
      "The jobs of a flow are added together, which an outbox cannot do: add them on the remote's own driver.",
      { option: "flow" },
    );
  }
}

/** Creates a cursor of a list. `stage`: part of the undelivered jobs; undefined: a page of the remote. */
const writeCursor = (stage: number | undefined, cursor: string | undefined): string =>
  `${stage ?? "remote"}:${cursor ?? ""}`;

function readCursor(cursor: string): {
  readonly stage?: number | undefined;
  readonly at?: { readonly cursor: string } | undefined;
} {
  const [, stage, at] = /^(\d+|remote):(.*)$/s.exec(cursor) ?? [];
  if (stage === undefined) {
    throw new QuaysideError("invalid_option", "cursor is not one that a list call has answered.", { option: "cursor" });
  }
  return { ...(stage !== "remote" && { stage: Number(stage) }), ...(at && { at: { cursor: at } }) };
}
