import { checkName, checkPathName } from "../job/job-keys.ts";
import { checkTags } from "../job/job-options.ts";
import type { StoredJob } from "../job/job-record.ts";
import type { NewJob } from "../job/new-job.ts";
import { Adding, type AddPart, storedNow } from "./add-batch.ts";
import { deleteFinished, insertJobs, moveJobs } from "./job-writer.ts";
import type { Plugins } from "./plugin.ts";
import type { Program } from "./store.ts";
import type { Transaction } from "./transaction.ts";
import type { EnqueueReceipt, NumberedRequest } from "./verbs.ts";

/**
 * Stores new jobs, all or none. Returns one receipt per job, in order; for a taken id, it names the existing job. A
 * repeated numbered request gets the same receipts as before.
 *
 * @param admit called with the new records before any write; throws to refuse them.
 */
export function* enqueue(
  tx: Transaction,
  jobs: readonly NewJob[],
  request?: NumberedRequest,
  admit?: Admit,
): Program<readonly EnqueueReceipt[]> {
  for (const job of jobs) checkNames(tx.plugins, job, tx.used);
  const work = () => addJobs(tx, jobs, admit);
  if (!request) return yield* work();
  const [idempotency] = tx.plugins.with("once");
  if (!idempotency) throw tx.plugins.missing("numbered", "request");
  return yield* idempotency.once(tx, jobs, request, work);
}

/** Throws if a store refuses new jobs, for example because it is full. Called with their records before any write. */
export type Admit = (placed: readonly StoredJob[]) => Program<void>;

/**
 * Checks the fields of a new job that become parts of keys, and those of the plugins (R4). A caller need not be a
 * `Queue`, which would have checked them. `used` receives the names of the plugins that own fields.
 */
export function checkNames(plugins: Plugins, job: Omit<NewJob, "payload">, used?: Set<string>): void {
  plugins.checkOwned("job option", job, used);
  checkPathName(job.queue, "queue");
  checkName(job.name, "name");
  if (job.id !== undefined) checkPathName(job.id, "id");
  if (job.tags) checkTags(job.tags);
  for (const plugin of plugins.for("check", "fields", [job])) plugin.check(job as NewJob);
}

/** Adds those of the jobs that do not exist yet. Returns a receipt for each, in order. */
export function* addJobs(tx: Transaction, jobs: readonly NewJob[], admit?: Admit): Program<readonly EnqueueReceipt[]> {
  const plugins = tx.plugins.for("adding", "fields", jobs);
  if (plugins.length === 0 && jobs.every(({ id }) => id === undefined)) {
    const placed = jobs.map((job) => storedNow(tx, job));
    yield* admitAll(tx, placed, admit);
    yield* accept(tx, jobs);
    yield* insertJobs(tx, placed, true);
    return placed.map(({ id }) => ({ id, deduplicated: false }));
  }
  const adding = new Adding(tx, jobs);
  const parts: AddPart[] = [];
  for (const plugin of plugins) parts.push(yield* plugin.adding(adding));
  adding.parts = parts;
  yield* adding.load();
  const order = parts.find((part) => part.order)?.order ?? jobs.keys();
  for (const index of order) adding.receipts[index] = yield* addOne(adding, index);
  for (const part of parts) if (part.bind) yield* part.bind();
  const placed = [...adding.placed.values()];
  yield* admitAll(tx, placed, admit);
  yield* deleteFinished(tx, adding.stale);
  yield* accept(tx, jobs);
  yield* moveJobs(tx, adding.moves);
  for (const part of parts) if (part.save) yield* part.save();
  yield* insertJobs(tx, placed);
  for (const part of parts) if (part.stored) yield* part.stored();
  return adding.receipts;
}

function* admitAll(tx: Transaction, placed: readonly StoredJob[], admit?: Admit): Program<void> {
  for (const plugin of tx.plugins.with("admitting")) yield* plugin.admitting(tx, placed);
  if (admit) yield* admit(placed);
}

function* addOne(adding: Adding, index: number): Program<EnqueueReceipt> {
  let job = adding.jobs[index] as NewJob;
  for (const part of adding.parts) {
    if (!part.next) continue;
    const next = yield* part.next(index, job);
    if ("receipt" in next) return next.receipt;
    job = next.job;
  }
  return yield* adding.add(job);
}

/**
 * Applies job options that affect more than their own job, such as the limit of a group: calls the plugins' `accepted`.
 */
export function* accept(tx: Transaction, jobs: readonly (Pick<NewJob, "queue"> & Partial<NewJob>)[]): Program<void> {
  for (const plugin of tx.plugins.for("accepted", "fields", jobs)) yield* plugin.accepted(tx, jobs);
}
