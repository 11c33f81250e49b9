import type { Cause, Kind, Note } from "./notes.ts";

/** Attempts that a job of each kind may need while nothing disturbs its workers. */
const ATTEMPTS: Readonly<Record<Kind, number>> = {
  plain: 1,
  slow: 1,
  flaky: 2,
  hopeless: 2,
  // Each release is a run more: a handler gives its job back at most ten times in a row, on each of its workers.
  released: 100,
  talkative: 1,
  badResult: 1,
};

/** Kinds whose jobs may end as failed for their own reasons. */
const MAY_FAIL: ReadonlySet<Kind> = new Set<Kind>(["hopeless", "badResult"]);

/** How many violations of each sort are described. */
const DESCRIBED = 5;

interface Run {
  readonly id: string;
  readonly worker: string;
  readonly began: number;
  open: boolean;
  /** It did the work. */
  done: boolean;
}

interface Entry {
  readonly kind: Kind;
  /** Under which it ran first: there is no other, unless its add was stored twice. */
  id?: string;
  acknowledged: boolean;
  /** The clock jumped before its add was acknowledged: the answer that a repeat of the add would get may be forgotten. */
  unsure: boolean;
  done: boolean;
  cancelled: boolean;
  retries: number;
  runs: number;
  excused: number;
  last?: Run;
}

/** A job that the queue still has when all is over. */
export interface Left {
  readonly job: number;
  readonly state: string;
  readonly code?: string | undefined;
}

export interface Verdict {
  readonly added: number;
  readonly done: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly lost: number;
  readonly runs: number;
  /** Runs of jobs whose earlier run had begun under a worker that was disturbed since. */
  readonly repeats: number;
  readonly disturbed: Readonly<Record<string, number>>;
  readonly recurrences: number;
  readonly violations: readonly string[];
}

/**
 * A record of all jobs and runs, kept outside the engine. It finds jobs that are lost, jobs that run twice at once, and repeats
 * without a cause.
 */
export class Ledger {
  readonly #jobs = new Map<number, Entry>();
  /** When a worker was last disturbed, as a number of notes. */
  readonly #disturbed = new Map<string, number>();
  /** Functions to call when a worker's exchange is answered, by worker. */
  readonly #answered = new Map<string, () => void>();
  /** Those whose trouble goes on, with how many troubles there are. */
  readonly #troubled = new Map<string, number>();
  readonly #workers = new Set<string>();
  /**
   * For a kind of worker that exists once at a time (start of the label): start of the label of the present one.
   */
  readonly #present = new Map<string, string>();
  readonly #causes = new Map<string, number>();
  readonly #violations = new Map<string, { count: number; examples: string[] }>();
  #notes = 0;
  #repeats = 0;
  #untouched = new Set<number>();
  readonly #unacknowledged = new Set<number>();
  recurrences = 0;
  /** Jobs whose add was acknowledged. */
  added = 0;

  keep(notes: readonly Note[]): void {
    for (const note of notes) this.#keep(note);
  }

  /** Work done so far: changes as long as the queue makes progress. */
  get progress(): number {
    return this.#notes;
  }

  /** Acknowledged jobs that no handler has begun, and that nobody has cancelled: how far producers are ahead. */
  get ahead(): number {
    return this.#untouched.size;
  }

  /** The attempts that this worker has begun may be repeated. Said before it happens. */
  disturb(worker: string, cause: Cause): void {
    this.#disturbed.set(worker, ++this.#notes);
    this.#causes.set(cause, (this.#causes.get(cause) ?? 0) + 1);
  }

  /** The same for all that it begins until the answer is called. */
  disturbUntil(worker: string, cause: Cause): () => void {
    this.disturb(worker, cause);
    this.#troubled.set(worker, (this.#troubled.get(worker) ?? 0) + 1);
    return () => {
      this.#troubled.set(worker, (this.#troubled.get(worker) ?? 1) - 1);
      this.#disturbed.set(worker, ++this.#notes);
    };
  }

  /** The same for every worker that has run anything. */
  disturbAll(cause: Cause): void {
    for (const worker of this.#workers) this.#disturbed.set(worker, ++this.#notes);
    this.#causes.set(cause, (this.#causes.get(cause) ?? 0) + 1);
  }

  /**
   * Records that the worker of a kind was replaced. Its runs are excused, also those whose notes arrive later.
   *
   * @param kind start of the labels of all workers of the kind.
   * @param present start of the label of the new worker.
   */
  replaced(kind: string, present: string, cause: Cause): void {
    this.#present.set(kind, present);
    this.#causes.set(cause, (this.#causes.get(cause) ?? 0) + 1);
  }

  /** The clock of the queue jumps by more than the time for which the numbers of adds are remembered. */
  clockJumped(): void {
    for (const job of this.#unacknowledged) this.#of(job).unsure = true;
    // Each of these adds is marked: it need not be marked again.
    this.#unacknowledged.clear();
  }

  violation(sort: string, example: string): void {
    const found = this.#violations.get(sort) ?? { count: 0, examples: [] };
    this.#violations.set(sort, found);
    found.count++;
    if (found.examples.length < DESCRIBED) found.examples.push(example);
  }

  /** @param left the jobs that the queue still has, ended or not. */
  verdict(left: readonly Left[]): Verdict {
    const states = new Map(left.map((job) => [job.job, job]));
    const sums = { added: 0, done: 0, failed: 0, cancelled: 0, lost: 0, runs: 0 };
    for (const [number, job] of this.#jobs) {
      const found = states.get(number);
      sums.runs += job.runs;
      if (job.done) sums.done++;
      if (found?.state === "failed") this.#checkFailed(number, job, found, sums);
      else if (found && found.state !== "cancelled" && found.state !== "completed")
        this.violation("stuck", `job ${number} (${job.kind}) is still ${found.state}`);
      this.#checkRuns(number, job);
      if (!job.acknowledged) continue;
      sums.added++;
      if (job.cancelled) sums.cancelled++;
      else if (!job.done && !found) {
        sums.lost++;
        this.violation("lost", `job ${number} (${job.kind}) was acknowledged, has ${job.runs} runs and is gone`);
      }
    }
    const violations = [...this.#violations].map(
      ([sort, { count, examples }]) => `${sort}: ${count}, such as: ${examples.join("; ")}`,
    );
    return {
      ...sums,
      repeats: this.#repeats,
      disturbed: Object.fromEntries(this.#causes),
      recurrences: this.recurrences,
      violations,
    };
  }

  #checkFailed(number: number, job: Entry, { code }: Left, sums: { failed: number }): void {
    sums.failed++;
    // A worker that is killed again and again takes its job with it, at the documented limit.
    if (MAY_FAIL.has(job.kind) || code === "interrupted") return;
    this.violation("failed for no reason", `job ${number} (${job.kind}) failed with ${code ?? "no code"}`);
  }

  #checkRuns(number: number, job: Entry): void {
    const allowed = ATTEMPTS[job.kind] * (1 + job.retries) + job.excused;
    if (job.runs > allowed)
      this.violation("run too often", `job ${number} (${job.kind}) has ${job.runs} runs, ${job.excused} excused`);
  }

  #keep(note: Note): void {
    this.#notes++;
    switch (note.what) {
      case "tried":
        this.#unacknowledged.add(note.job);
        this.#jobs.set(note.job, {
          kind: note.kind,
          acknowledged: false,
          unsure: false,
          done: false,
          cancelled: false,
          retries: 0,
          runs: 0,
          excused: 0,
        });
        return;
      case "added":
        this.#of(note.job).acknowledged = true;
        this.#unacknowledged.delete(note.job);
        if (this.#of(note.job).runs === 0) this.#untouched.add(note.job);
        this.added++;
        return;
      case "began":
        this.#workers.add(note.worker);
        this.#untouched.delete(note.job);
        this.#began(this.#of(note.job), note);
        return;
      case "done":
      case "over":
        this.#ended(this.#of(note.job), note);
        return;
      case "cancelled":
        this.#of(note.job).cancelled = true;
        this.#untouched.delete(note.job);
        return;
      case "retried":
        if (note.job === undefined) this.#retryFailed();
        else this.#of(note.job).retries++;
        return;
      case "unanswered":
        this.#answered.set(
          note.worker,
          this.disturbUntil(note.worker, "left without an answer for a third of its lease"),
        );
        return;
      case "answered":
        this.#answered.get(note.worker)?.();
        return;
      case "recurred":
        this.recurrences++;
        return;
      case "wrong":
        this.violation("wrong answer", note.text);
    }
  }

  #began(job: Entry, { job: number, id, run, worker }: Extract<Note, { what: "began" }>): void {
    job.id ??= id;
    if (job.id !== id && !job.unsure)
      this.violation("stored twice", `job ${number} (${job.kind}) has the ids ${job.id} and ${id}`);
    // It may be two jobs with one number: what the one does says nothing of the other.
    if (job.unsure || job.id !== id) {
      job.excused = Number.POSITIVE_INFINITY;
      return;
    }
    const before = job.last;
    const disturbed = before && this.#wasDisturbed(before);
    if (disturbed) {
      this.#repeats++;
      job.excused++;
    } else if (before?.open) {
      this.violation(
        "two runs at once",
        `job ${number} (${job.kind}) began on ${worker} while it ran on ${before.worker}`,
      );
    } else if (before?.done && job.retries === 0) {
      this.violation("repeated", `job ${number} (${job.kind}) was done on ${before?.worker} and began on ${worker}`);
    }
    job.runs++;
    job.last = { id: run, worker, began: this.#notes, open: true, done: false };
  }

  #wasDisturbed({ worker, began }: Run): boolean {
    for (const [kind, present] of this.#present)
      if (worker.startsWith(kind) && !worker.startsWith(present)) return true;
    return (this.#troubled.get(worker) ?? 0) > 0 || (this.#disturbed.get(worker) ?? 0) > began;
  }

  /** Every job that may stand as failed by now may run again. */
  #retryFailed(): void {
    for (const job of this.#jobs.values()) if (!job.last?.done || MAY_FAIL.has(job.kind)) job.retries++;
  }

  #ended(job: Entry, { what, run }: Extract<Note, { what: "done" | "over" }>): void {
    if (what === "done") job.done = true;
    if (job.last?.id !== run) return;
    job.last.open = false;
    job.last.done = what === "done";
  }

  #of(number: number): Entry {
    const entry = this.#jobs.get(number);
    if (!entry) throw new Error(`A note on job ${number}, which nobody has tried to add.`);
    return entry;
  }
}
