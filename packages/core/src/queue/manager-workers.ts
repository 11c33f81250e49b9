import type { Clock } from "../engine/clock.ts";
import { type Duration, toMs } from "../job/duration.ts";
import { QuaysideError } from "../job/errors.ts";
import { handlerScope, refuseOwn } from "../job/handler-scope.ts";
import type { Keep } from "../job/job-record.ts";
import type { JobMap } from "../job/job-types.ts";
import { fields, integer } from "../job/option-checks.ts";
import { backoffDelay } from "../job/retry.ts";
import type { JobWorker } from "../worker/job-worker.ts";
import type { WorkerStatus } from "../worker/worker-options.ts";
import type { Connections } from "./manager-connections.ts";
import type { Placement } from "./manager-placement.ts";
import type { Queue } from "./queue.ts";
import type { QueueConnection } from "./queue-connection.ts";

export interface ProcessOptions {
  readonly queue?: string | undefined;
  readonly count?: number | undefined;
}

/** Delays before connections that failed to open are opened again, if other connections have opened. */
const REOPEN = { kind: "exponential", delayMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 } as const;

export interface ManagedWorkersOptions<Jobs extends JobMap, Ctx extends object> {
  readonly connections: Connections<Jobs, Ctx>;
  readonly placement: Placement;
  /** Number of ended jobs to keep, for queues without a setting of their own. */
  readonly keep: Partial<Keep> | undefined;
  readonly clock: Clock;
  readonly report: (error: unknown) => void;
  /** Called before the workers start. */
  readonly begin: () => void;
}

/** The workers of a manager, one per connection. They start, stop and drain together. */
export class ManagedWorkers<Jobs extends JobMap, Ctx extends object> {
  readonly #options: ManagedWorkersOptions<Jobs, Ctx>;
  /** The state that the last call of `start`, `stop` or `drain` requested (R34). */
  #wanted: "running" | "stopped" = "stopped";
  #status: WorkerStatus = "stopped";
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #drains = 0;
  /** Number of calls of `start`, `stop` and `drain`. A new call ends a running `process`. */
  #calls = 0;
  /** Queues whose settings are stored or being stored, since the last start. */
  readonly #configured = new Map<Queue<Jobs, Ctx>, Promise<void>>();

  constructor(options: ManagedWorkersOptions<Jobs, Ctx>) {
    this.#options = options;
  }

  get status(): WorkerStatus {
    return this.#status;
  }

  /** Makes the workers also work the queues that settings or registered jobs name by now. */
  work(): void {
    const { connections, placement, report } = this.#options;
    for (const { queue, connection } of placement.worked()) {
      connections.all.get(connection)?.work(queue);
    }
    if (this.#status !== "running" || this.#starting) return;
    for (const connection of connections.all.values())
      if (connection.worker.status === "stopped") void this.#open(connection, 1).catch(report);
      else void this.#configure(connection.name).catch(report);
  }

  /** Stores the queues' settings and starts the workers. If they are stopping, starts them afterwards. */
  start(): Promise<void> {
    this.#calls++;
    this.#wanted = "running";
    const started = this.#start();
    if (!this.#workers.some((worker) => worker.hasScope())) return started;
    // The call would wait for the handler that makes it.
    started.catch(this.#options.report);
    return Promise.resolve();
  }

  async #start(): Promise<void> {
    while (this.#wanted === "running") {
      if (this.#stopping) await this.#stopping;
      else if (this.#status === "running") return this.#starting;
      else return this.#begin();
    }
  }

  /**
   * Stops the workers.
   *
   * @throws {QuaysideError} `invalid_option` for the timeout, before any worker is stopped.
   */
  stop(options: { readonly timeout?: Duration | undefined }): Promise<void> {
    try {
      const { timeout } = fields(options, "options");
      if (timeout !== undefined) toMs(timeout, "timeout");
    } catch (error) {
      return Promise.reject(error);
    }
    // The workers stop even if the calling handler may not wait for it.
    const stopped = handlerScope.run(undefined, () => this.#stop(options));
    return this.#refuseOwn("stop()") ?? stopped;
  }

  #stop(options: { readonly timeout?: Duration | undefined }): Promise<void> {
    this.#calls++;
    this.#wanted = "stopped";
    const stopped = Promise.all(this.#workers.map((worker) => worker.stop(options)));
    if (this.#status === "stopped") return stopped.then(() => {});
    this.#status = "stopping";
    this.#stopping ??= stopped
      // A connection that was being opened may have opened since.
      .then(() => this.#starting?.catch(() => {}))
      .then(() => Promise.all(this.#workers.map((worker) => worker.stop({ timeout: 0 }))))
      .then(() => {})
      .finally(() => {
        this.#status = "stopped";
        this.#stopping = undefined;
      });
    return this.#stopping.then(() => stopped).then(() => {});
  }

  /**
   * Works until no job runs or is due on any connection. Then starts or stops the workers as before, or as the last
   * call requested meanwhile.
   */
  drain(): Promise<void> {
    return this.#refuseOwn("drain()") ?? this.#drain();
  }

  async #drain(): Promise<void> {
    this.#calls++;
    this.#drains++;
    try {
      while (this.#stopping) await this.#stopping;
      if (this.#status === "stopped") await this.#begin();
      else await this.#starting;
      const workers = this.#workers.filter((worker) => worker.status === "running");
      const done = () => workers.reduce((sum, worker) => sum + worker.processedCount + worker.failedCount, 0);
      // Jobs of one connection may add jobs to another that was idle already.
      for (let before = -1; before !== done() && this.#status === "running"; ) {
        before = done();
        await Promise.all(workers.map((worker) => worker.drain()));
      }
    } finally {
      this.#drains--;
      if (this.#wanted === "stopped" && this.#drains === 0) await this.stop({});
    }
  }

  /**
   * Runs up to `count` due jobs, of one queue or of any, one after the other. Returns their number. `start`, `stop` or
   * `drain` ends it after the running job.
   */
  async process(options: ProcessOptions): Promise<number> {
    const { queue, count = Number.POSITIVE_INFINITY } = fields(options, "options");
    if (count !== Number.POSITIVE_INFINITY) integer(count, 0, Number.MAX_SAFE_INTEGER, "count");
    this.work();
    const calls = ++this.#calls;
    let ran = 0;
    for (const worker of this.#workers)
      while (ran < count && calls === this.#calls && (await worker.processNext(queue))) ran++;
    return ran;
  }

  #begin(): Promise<void> {
    const { connections, placement, report } = this.#options;
    try {
      for (const { queue, connection } of placement.worked()) connections.get(connection).work(queue);
    } catch (error) {
      this.#wanted = "stopped";
      throw error;
    }
    if (![...connections.all.values()].some(({ works }) => works))
      report(new QuaysideError("unknown_job", "This manager works no queue: register a job, or name a queue."));
    this.#status = "running";
    this.#configured.clear();
    this.#options.begin();
    const starting = this.#openAll().finally(() => {
      this.#starting = undefined;
    });
    this.#starting = starting;
    return starting;
  }

  /** Opens every connection. Throws if none opens; if some do, reports the others and tries them again. */
  async #openAll(): Promise<void> {
    const { connections, report } = this.#options;
    const all = [...connections.all.values()];
    const opened = await Promise.allSettled(all.map((connection) => this.#openOnce(connection)));
    const failed = opened.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
    if (all.length > 0 && failed.length === all.length) {
      this.#wanted = "stopped";
      this.#status = "stopped";
      throw failed[0];
    }
    for (const [index, result] of opened.entries()) {
      if (result.status === "fulfilled") continue;
      report(result.reason);
      this.#openLater(all[index] as QueueConnection<Jobs, Ctx>, 1);
    }
  }

  async #openOnce(connection: QueueConnection<Jobs, Ctx>): Promise<void> {
    await this.#configure(connection.name);
    if (this.#status === "running") await connection.worker.start();
  }

  async #open(connection: QueueConnection<Jobs, Ctx>, tries: number): Promise<void> {
    try {
      await this.#openOnce(connection);
    } catch (error) {
      this.#options.report(error);
      this.#openLater(connection, tries + 1);
    }
  }

  #openLater(connection: QueueConnection<Jobs, Ctx>, tries: number): void {
    const { clock } = this.#options;
    clock.after(backoffDelay(REOPEN, tries, 0.5), () => {
      if (this.#status === "running" && connection.worker.status === "stopped") void this.#open(connection, tries);
    });
  }

  get #workers(): readonly JobWorker[] {
    return [...this.#options.connections.all.values()].map(({ worker }) => worker);
  }

  #refuseOwn(call: string): Promise<void> | undefined {
    return this.#workers.some((worker) => worker.hasScope()) ? refuseOwn(call) : undefined;
  }

  /** Stores the settings of one connection's queues, except those stored since the start. */
  async #configure(connection: string): Promise<void> {
    const { connections, placement } = this.#options;
    for (const { queue: name, connection: own } of placement.worked()) {
      if (own !== connection) continue;
      const queue = connections.get(own).queue(name);
      const writing = this.#configured.get(queue) ?? this.#write(queue);
      this.#configured.set(queue, writing);
      try {
        await writing;
      } catch (error) {
        this.#configured.delete(queue);
        throw error;
      }
    }
  }

  async #write(queue: Queue<Jobs, Ctx>): Promise<void> {
    const { placement, keep } = this.#options;
    const { rateLimit, maxActive, maxWaiting, keep: own } = placement.settings(queue.name);
    if (keep || own || [rateLimit, maxActive, maxWaiting].some((limit) => limit !== undefined))
      await queue.configure({ rateLimit, maxActive, maxWaiting, ...((keep || own) && { keep: { ...keep, ...own } }) });
  }
}
