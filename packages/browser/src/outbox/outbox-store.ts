import {
  type Clock,
  DEFAULTS,
  type Driver,
  type JobCounts,
  type JobPage,
  type JobRecord,
  type JobState,
} from "@quayside/core";
import type { Command, CommandReply, EnqueueReceipt, ListQuery, NewJob, NumberedRequest } from "@quayside/core/engine";
import { partsOf } from "./classify-remote-error.ts";
import { isDelayed, reseal, seal, shown } from "./envelope.ts";
import { OutboxNames, type RegisterEntry } from "./local-queue-names.ts";

/** An entry in the list of the partition's remotes: see `OutboxNames.remotes`. */
interface RemoteEntry {
  readonly remote: string;
}

type JobCommand = Extract<Command, { readonly id: string }>;
type BulkCommand = Extract<Command, { readonly type: "clear" | "retryAll" }>;

export interface OutboxStoreOptions {
  readonly names: OutboxNames;
  readonly partition: string;
  /** Name of the remote. */
  readonly remoteName: string;
  readonly local: Driver;
  readonly clock: Clock;
}

/** By the state that the outbox shows, the states of local jobs that are shown as this state. */
const LOCAL_STATES: Readonly<Partial<Record<JobState, readonly JobState[]>>> = {
  waiting: ["active", "waiting"],
  failed: ["failed"],
  cancelled: ["cancelled"],
};

/** The local jobs that the remote has not received or has refused. Adds and lists them, and runs commands on them. */
export class OutboxStore {
  readonly #names: OutboxNames;
  readonly #partition: string;
  readonly #remoteName: string;
  readonly #local: Driver;
  readonly #clock: Clock;

  constructor({ names, partition, remoteName, local, clock }: OutboxStoreOptions) {
    this.#names = names;
    this.#partition = partition;
    this.#remoteName = remoteName;
    this.#local = local;
    this.#clock = clock;
  }

  /** Adds jobs and, in the same transaction, their queues' entries in the register, so that any tab finds the jobs. */
  async add(jobs: readonly NewJob[], request?: NumberedRequest): Promise<readonly EnqueueReceipt[]> {
    const { register, remotes } = this.#names;
    const here: RemoteEntry = { remote: this.#remoteName };
    const entries = [...new Set(jobs.map(({ queue }) => queue))].map((queue): NewJob => {
      const entry: RegisterEntry = { queue, sender: crypto.randomUUID?.() ?? randomName() };
      return { queue: register, name: "queue", id: queue, payload: JSON.stringify(entry) };
    });
    entries.push({ queue: remotes, name: "remote", id: register, payload: JSON.stringify(here) });
    const sealed = jobs.map((job) => seal(job, this.#names.jobs(job.queue), this.#clock.now()));
    const receipts = await this.#local.enqueue([...entries, ...sealed], request);
    return receipts.slice(entries.length);
  }

  /** Returns the queues for which the outbox has, or had, jobs. */
  async queues({ register } = this.#names): Promise<readonly string[]> {
    return (await this.#entries<RegisterEntry>(register)).map(({ queue }) => queue);
  }

  /** Returns the numbers of pending and refused jobs in all queues. */
  async totals(names = this.#names): Promise<{ readonly pending: number; readonly failed: number }> {
    let [pending, failed] = [0, 0];
    for (const queue of await this.queues(names)) {
      const counts = await this.counts(queue, names);
      pending += counts.waiting;
      failed += counts.failed;
    }
    return { pending, failed };
  }

  /** Returns the numbers of this partition's jobs that wait for other remotes. */
  async elsewhere(): Promise<readonly { readonly remote: string; readonly pending: number }[]> {
    const found: { remote: string; pending: number }[] = [];
    for (const { remote } of await this.#entries<RemoteEntry>(this.#names.remotes)) {
      if (remote === this.#remoteName) continue;
      const { pending } = await this.totals(new OutboxNames(this.#partition, remote));
      if (pending > 0) found.push({ remote, pending });
    }
    return found;
  }

  async #entries<T>(register: string): Promise<readonly T[]> {
    const entries: T[] = [];
    for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
      const page = await this.#local.list({ queue: register, limit: 1_000, ...(cursor !== undefined && { cursor }) });
      entries.push(...page.jobs.map(({ payload }) => payload as T));
      cursor = page.cursor;
    }
    return entries;
  }

  async get(queue: string, id: string): Promise<JobRecord | undefined> {
    const record = await this.#local.get(this.#names.jobs(queue), id);
    return record && shown(record, queue);
  }

  /**
   * Returns a page of the jobs with this state; undefined if no local job can have the state. `stage`: the `next` of
   * the previous page, 0 for the first.
   */
  async list(
    { queue, state, ...query }: ListQuery,
    stage: number,
  ): Promise<(JobPage & { readonly next?: number | undefined }) | undefined> {
    const states = state === undefined ? [undefined] : (LOCAL_STATES[state] ?? []);
    if (stage >= states.length) return undefined;
    const local = states[stage];
    const page = await this.#local.list({ ...query, queue: this.#names.jobs(queue), ...(local && { state: local }) });
    const jobs = page.jobs.map((record) => shown(record, queue));
    if (page.cursor !== undefined) return { jobs, cursor: page.cursor, next: stage };
    return { jobs, ...(stage + 1 < states.length && { next: stage + 1 }) };
  }

  /** Returns the counts of a queue. All unfinished jobs count as waiting, because no attempt has begun. */
  async counts(queue: string, names = this.#names): Promise<Pick<JobCounts, "waiting" | "failed" | "cancelled">> {
    const { waiting, delayed, active, failed, cancelled } = await this.#local.counts(names.jobs(queue));
    return { waiting: waiting + delayed + active, failed, cancelled };
  }

  /**
   * Runs a command on a job of the outbox. Returns undefined if the job is not in the outbox; the command is then for
   * the remote.
   */
  async command(command: JobCommand): Promise<CommandReply | undefined> {
    const { type, queue, id } = command;
    const local = this.#names.jobs(queue);
    if (type === "cancel" || type === "remove") return this.#end(type, queue, id);
    const record = await this.#local.get(local, id);
    if (!record) return undefined;
    const now = this.#clock.now();
    const live = record.state !== "failed" && record.state !== "cancelled";
    try {
      if (type === "update") {
        const { priority } = command;
        const payload = reseal(record, command, now);
        return await this.#local.command({
          type,
          queue: local,
          id,
          payload,
          ...(priority !== undefined && { priority }),
        });
      }
      if (type === "retry" || !live) return await this.#local.command({ type, queue: local, id });
      if (!isDelayed(record, now)) return { affected: 0, state: "waiting" };
      return await this.#local.command({
        type: "update",
        queue: local,
        id,
        payload: reseal(record, { delayMs: 0 }, now),
      });
    } catch (error) {
      // The job was delivered since its record was read.
      if (partsOf(error).code === "job_not_found") return undefined;
      throw error;
    }
  }

  /** Runs a bulk command on the jobs of the outbox. Returns the number of changed jobs. */
  async commandAll({ queue, ...command }: BulkCommand): Promise<number> {
    const local = this.#names.jobs(queue);
    if (command.type === "retryAll") return (await this.#local.command({ ...command, queue: local })).affected;
    const { state, ...filter } = command;
    let affected = 0;
    for (const each of state === undefined ? (["active", undefined] as const) : (LOCAL_STATES[state] ?? [])) {
      // Jobs that are being sent are removed one by one, because each needs a request to the remote.
      if (each === "active") affected += await this.#removeInFlight(queue, filter);
      else affected += (await this.#local.command({ ...filter, queue: local, ...(each && { state: each }) })).affected;
    }
    return affected;
  }

  /** Removes all jobs of a queue. Those being sent are deleted when the forwarder releases their batch. */
  async clear(queue: string): Promise<void> {
    for (const local of [this.#names.jobs(queue), this.#names.cancels(queue)])
      await this.#local.command({ type: "clear", queue: local });
  }

  /** Removes the register entry of a queue. No tab forwards the queue until a job is added with a new entry. */
  async removeEntry(queue: string): Promise<void> {
    await this.#local.command({ type: "remove", queue: this.#names.register, id: queue });
  }

  /** Removes this remote from the list of remotes for which jobs wait. */
  async removeRemote(): Promise<void> {
    const { register, remotes } = this.#names;
    await this.#local.command({ type: "remove", queue: remotes, id: register });
  }

  /**
   * Cancels or removes a job. If the job is being sent, also stores a request to do the same at the remote, which is
   * sent after the remote's answer.
   */
  async #end(type: "cancel" | "remove", queue: string, id: string): Promise<CommandReply | undefined> {
    const reply = await this.#local.command({ type, queue: this.#names.jobs(queue), id });
    if (reply.state === "active" && reply.affected > 0) {
      const payload = JSON.stringify({ type, id });
      await this.#local.enqueue([{ queue: this.#names.cancels(queue), name: type, payload, keep: KEEP_NONE }]);
    }
    return reply.affected === 0 && reply.state === undefined ? undefined : reply;
  }

  async #removeInFlight(queue: string, { name, tags, olderThanMs }: Partial<BulkCommand>): Promise<number> {
    let affected = 0;
    const local = this.#names.jobs(queue);
    const { jobs } = await this.#local.list({ queue: local, state: "active", limit: 1_000, ...(tags && { tags }) });
    for (const { id, name: own, addedAt } of jobs) {
      const old = olderThanMs === undefined || addedAt < this.#clock.now() - olderThanMs;
      if (old && (name === undefined || name === own))
        affected += (await this.#end("remove", queue, id))?.affected ?? 0;
    }
    return affected;
  }
}

const KEEP_NONE = { ...DEFAULTS.keep, completed: 0 };

/** Returns a random name. Replaces `randomUUID`, which is missing on plain HTTP. */
const randomName = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
