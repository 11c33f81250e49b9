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
import type { RemoteStatus } from "./status-channel.ts";

/** Options of `outboxDriver`. */
export interface OutboxDriverOptions {
  /**
   * Stores jobs until the remote has them. An `IndexedDbDriver` is used with strict durability, whatever its own
   * setting.
   */
  readonly local: Driver;
  /** Receives the jobs: an `httpDriver`, for example. */
  readonly remote: Driver;
  /**
   * Name of the owner of the jobs, for example the signed-in user. This driver neither shows nor forwards jobs of other
   * partitions of the local store. Default: `default`.
   */
  readonly partition?: string;
  /**
   * Name of the remote. Jobs added for one remote are never sent to another: they wait, and `elsewhere` reports them.
   * Default: the URL of an `httpDriver`, `""` for a driver without a `url`. Drivers without a `url` that share a local store
   * and a partition need a name each. When a URL changes, pass the old URL here to send the jobs that wait under it.
   */
  readonly remoteName?: string;
  /** For tests: a clock that is moved by hand. */
  readonly clock?: Clock;
  /** For tests: in [0, 1). */
  readonly random?: () => number;
}

/**
 * The state of an outbox, for a page to show. `lastError` is the error of the last attempt to reach the remote, of any
 * tab; absent after a successful one.
 */
export interface OutboxState extends RemoteStatus {
  /** Jobs that the remote has not received yet. */
  readonly pending: number;
  /** Jobs that the remote refused. */
  readonly failed: number;
  /** Other remotes that jobs of this partition wait for, where there are any. */
  readonly elsewhere?: readonly { readonly remote: string; readonly pending: number }[];
}

/**
 * A driver made of two: jobs are added to a local store, durably and without a network, and forwarded to a remote, in
 * the order of the queue, each once, under the ids that they were given here. See `OutboxDriver`.
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
 * - `enqueue` resolves when the jobs are on disk here. Flows are refused: their jobs must be added together, there.
 * - `get`, `list`, `counts` and commands on jobs use the outbox for undelivered jobs and the remote for all others. An
 *   undelivered job is `waiting`, `blockedBy: "outbox"`; one that the remote refused is `failed`, with the remote's
 *   error.
 * - All else (`exchange`, `nextWake`, `schedules`, settings) is the remote's, so a `Worker` works the remote queue. Out
 *   of reach, these reject with `network`.
 * - A cancel of a job that is being sent is asked for here and, after the answer, there.
 *
 * A batch whose answer was lost is sent again unchanged. The remote recognises it by its number for 90 days.
 *
 * A job fails only by the API's own problem details: an error in the job, a token that may not add it (403
 * `forbidden`), or a limit on the size (413). While the user is signed out (401, a token function that returns
 * nothing), or a firewall or portal answers 403, the queue is held and no job fails: `state().paused` is `"auth"`, with
 * the events `paused` and `resumed`. The queue is also held while a batch whose answer was lost belongs to another
 * subject than the token (`wrong_subject`): sent for both, it would be added twice. A held queue is tried again at
 * intervals, and at once by `forward()`. Any other error is retried without end after 1 s, 2 s, 4 s … up to 5 minutes,
 * or later if the server asks for it. `close` closes both drivers.
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

  /** Returns the function that stops it. Events are of the tab that forwards. */
  on<Name extends keyof OutboxEvents>(name: Name, listener: (event: OutboxEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** Returns the state. Call it again after an event, or when `watch` calls back. */
  async state(): Promise<OutboxState> {
    const totals = await this.#store.totals();
    const elsewhere = await this.#store.elsewhere();
    return { ...totals, ...this.#forwarder.status, ...(elsewhere.length > 0 && { elsewhere }) };
  }

  /**
   * Ends the pauses after failures: call it after a sign-in, for a button, or at an event of the network that only the
   * app receives. A pause that the server asked for (`Retry-After`) is kept.
   */
  forward(): void {
    this.#forwarder.retryNow();
  }

  /**
   * Removes all jobs of this partition for this remote, for a sign-out. None of them is delivered, except those being
   * sent at this moment. Jobs of other partitions and for other remotes stay. A job that is added meanwhile is removed
   * too or stays in the outbox: `state()` shows which.
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

  /** Lists undelivered jobs first, on pages of their own: these need no network. */
  async list({ cursor, ...query }: ListQuery): Promise<JobPage> {
    const { stage, at } = cursor === undefined ? { stage: 0 } : readCursor(cursor);
    const here = stage === undefined ? undefined : await this.#store.list({ ...query, ...at }, stage);
    if (!here) {
      const page = await this.#remote.list({ ...query, ...(stage === undefined && at) });
      return page.cursor === undefined ? page : { ...page, cursor: writeCursor(undefined, page.cursor) };
    }
    return { jobs: here.jobs, cursor: writeCursor(here.next, here.cursor) };
  }

  async counts(queue: string): Promise<JobCounts> {
    const [here, there] = await Promise.all([this.#store.counts(queue), this.#remote.counts(queue)]);
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

/** The URL of a driver that has one, in full: the same for all pages of the site. */
function urlOf(remote: Driver): string {
  const { url } = remote as { readonly url?: unknown };
  if (typeof url !== "string") return "";
  try {
    return new URL(url, globalThis.location?.href).href;
  } catch {
    return url;
  }
}

/** Refuses when adding what the remote would refuse later. */
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

/** `stage` undefined: the remote's. */
const writeCursor = (stage: number | undefined, cursor: string | undefined): string =>
  `${stage ?? "remote"}:${cursor ?? ""}`;

function readCursor(cursor: string): { readonly stage?: number; readonly at?: { readonly cursor: string } } {
  const [, stage, at] = /^(\d+|remote):(.*)$/s.exec(cursor) ?? [];
  if (stage === undefined) {
    throw new QuaysideError("invalid_option", "cursor is not one that a list call has answered.", { option: "cursor" });
  }
  return { ...(stage !== "remote" && { stage: Number(stage) }), ...(at && { at: { cursor: at } }) };
}
