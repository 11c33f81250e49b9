import type { Clock } from "../driver/clock.ts";
import { LIMITS } from "../job/limits.ts";
import type { JobRecord } from "../job/record.ts";
import type { AttemptReport, ClaimedJob, Settlement } from "../store/verbs.ts";
import { AttemptReports } from "./attempt-reports.ts";
import type { Emitter } from "./emitter.ts";
import type { Network } from "./network.ts";
import { Attempt, type AttemptListener, type Run } from "./run-attempt.ts";
import type { Telemetry } from "./telemetry.ts";
import type { Reporter, Settled, WorkerEvents } from "./worker-events.ts";
import type { WorkerOptions, WorkerQueue } from "./worker-options.ts";

export interface AttemptsOptions<Ctx extends object> {
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: Emitter<WorkerEvents>;
  readonly reporter: Reporter;
  readonly queueOf: (job: JobRecord) => WorkerQueue<Ctx> | undefined;
  /** For jobs that require it. Absent: it is always there. */
  readonly network?: Network | undefined;
  readonly worker: Pick<WorkerOptions<Ctx>, "ctx" | "producer" | "telemetry">;
}

/** What the attempts tell of themselves. */
export interface AttemptsListener {
  /** One has ended: it is among those to be settled. */
  ended(): void;
  /** A handler has come back. */
  returned(): void;
  /** It is time to send their progress and the lines of their logs. */
  reportsDue(): void;
}

/** The attempts in a worker's hands, and what the store has yet to hear of them: how they ended, what they report. */
export class Attempts<Ctx extends object> {
  readonly #options: AttemptsOptions<Ctx>;
  readonly #attemptListener: AttemptListener;
  readonly #running = new Set<Attempt>();
  readonly #reports: AttemptReports;
  #ended: Settled[] = [];

  constructor(options: AttemptsOptions<Ctx>, listener: AttemptsListener) {
    this.#options = options;
    this.#reports = new AttemptReports(options.clock, () => listener.reportsDue());
    this.#attemptListener = this.#listenFor(listener);
  }

  /** Handlers that have not come back yet. */
  get running(): number {
    return this.#running.size;
  }

  /** Those that still hold their jobs. */
  get live(): readonly Attempt[] {
    return [...this.#running].filter((attempt) => !attempt.over);
  }

  get haveEnded(): boolean {
    return this.#ended.length > 0;
  }

  runningOf(queue: string): number {
    return [...this.#running].filter(({ job }) => job.queue === queue).length;
  }

  /** Whether this is one of them, and its handler has not come back yet. */
  has(scope: object | undefined): boolean {
    return this.#running.has(scope as Attempt);
  }

  start(claimed: ClaimedJob): void {
    const { job } = claimed;
    const attempt = new Attempt(claimed, this.#attemptListener, this.#options);
    this.#running.add(attempt);
    this.#options.events.emit("active", { job });
    attempt.start(this.#runOf(job));
  }

  /** How its queue runs it, with what this worker puts around that. */
  #runOf(job: JobRecord): Run {
    const { queueOf, worker } = this.#options;
    const handle = (queueOf(job) as WorkerQueue<Ctx>).run as Run;
    const network = job.requires === "network" ? this.#options.network : undefined;
    return network || worker.telemetry ? around(handle, network, worker.telemetry) : handle;
  }

  /** Takes the first that have ended, to be settled: at most so many, and as many as fit into one exchange. */
  takeEnded(most: number): readonly Settled[] {
    let bytes = 0;
    let count = 0;
    for (const { attempt, settlement } of this.#ended) {
      bytes += weightOf(settlement) + this.#reports.bytesOf(attempt.token);
      if (count >= most || (count > 0 && bytes > LIMITS.exchangeBytes)) break;
      count++;
    }
    const ended = this.#ended;
    this.#ended = ended.slice(count);
    return count === ended.length ? ended : ended.slice(0, count);
  }

  /** Of those that have ended and wait for a later exchange: their jobs are still held. */
  get endedTokens(): readonly string[] {
    return this.#ended.map(({ attempt }) => attempt.token);
  }

  /** They were not settled, nor their reports stored: they are the first to be taken again. */
  restore(ended: readonly Settled[], reports: readonly AttemptReport[]): void {
    this.#ended = [...ended, ...this.#ended];
    if (reports.length > 0) this.#reports.restore(reports);
  }

  /** Takes what they reported, to be sent: all of the ended ones', and of the others as much as fits into one exchange. */
  takeReports(ended: readonly Settled[]): readonly AttemptReport[] {
    return this.#reports.take(ended.map(({ attempt }) => attempt.token));
  }

  cancel(tokens: ReadonlySet<string>): void {
    if (tokens.size === 0) return;
    for (const attempt of this.live) if (tokens.has(attempt.token)) attempt.cancel();
  }

  /** Their worker is stopping and has waited long enough. */
  stop(): void {
    for (const attempt of this.#running) attempt.stop();
  }

  /** Their worker is put aside and cannot wait. */
  letGo(): void {
    for (const attempt of this.live) attempt.letGo();
  }

  /** Others have these jobs now. */
  lose(tokens: ReadonlySet<string>): void {
    if (tokens.size === 0) return;
    for (const attempt of this.live) if (tokens.has(attempt.token)) this.#lose(attempt);
  }

  /** Others may have all of these jobs now, `sent` among them: ended, but not known to be settled. */
  loseAll(sent: readonly Settled[]): void {
    for (const { attempt } of [...sent, ...this.#ended]) this.#options.reporter.lost(attempt);
    for (const attempt of this.live) this.#lose(attempt);
    this.#ended = [];
    this.#reports.clear();
  }

  /** They may run on, but their worker makes no rounds to send their reports with. */
  close(): void {
    this.#reports.close();
  }

  #lose(attempt: Attempt): void {
    attempt.lose();
    this.#options.reporter.lost(attempt);
  }

  #listenFor(listener: AttemptsListener): AttemptListener {
    const { events, reporter } = this.#options;
    return {
      settled: (settled) => {
        this.#ended.push(settled);
        listener.ended();
      },
      returned: (attempt) => {
        this.#running.delete(attempt);
        listener.returned();
      },
      progressed: ({ token, job }, value) => {
        this.#reports.progressed(token, value);
        events.emit("progress", { job, progress: value });
      },
      logged: ({ token, job }, line) => events.emit("log", { job, line: this.#reports.logged(token, line) }),
      stuck: ({ job }, durationMs) => events.emit("stuck", { job, durationMs }),
      fault: (error) => reporter.fault(error),
    };
  }
}

/** About how many bytes a settlement takes in an exchange. Its texts travel as JSON within JSON: quotes are doubled. */
function weightOf(settlement: Settlement): number {
  if (settlement.outcome === "completed") return 200 + 2 * (settlement.result?.length ?? 0);
  if (settlement.outcome !== "failed") return 200;
  return 200 + 2 * (settlement.error.message.length + (settlement.error.stack?.length ?? 0));
}

function around(handle: Run, network: Network | undefined, telemetry: Telemetry | undefined): Run {
  const run: Run = network ? (job, context) => network.run(job, () => handle(job, context)) : handle;
  return telemetry ? (job, context) => telemetry.attempt(job, async () => run(job, context)) : run;
}
