import {
  type Clock,
  type Command,
  type CommandReply,
  DEFAULTS,
  type Driver,
  type EnqueueReceipt,
  type JobCounts,
  type JobPage,
  type JobRecord,
  type JobState,
  type ListQuery,
  type NewJob,
  type NumberedRequest,
} from "@quayside/core";
import type { LineEntry } from "./line.ts";
import { OutboxNames } from "./names.ts";
import { isDelayed, reseal, seal, shown } from "./sealed-job.ts";
import { partsOf } from "./verdict.ts";

/** What the list of remotes keeps of each. */
interface RemoteEntry {
  readonly remote: string;
}

type JobCommand = Extract<Command, { readonly id: string }>;
type BulkCommand = Extract<Command, { readonly type: "clear" | "retryAll" }>;

export interface UndeliveredOptions {
  readonly names: OutboxNames;
  readonly partition: string;
  /** What the remote is called; empty: it has no name. */
  readonly remoteName: string;
  readonly local: Driver;
  readonly clock: Clock;
}

/** The states in which a job of the outbox lies here, by the state that it shows. */
const STAGES: Readonly<Partial<Record<JobState, readonly JobState[]>>> = {
  waiting: ["active", "waiting"],
  failed: ["failed"],
  cancelled: ["cancelled"],
};

/** The jobs that the remote does not have yet, or will not have: adds them, shows them, does what is asked of them. */
export class Undelivered {
  readonly #names: OutboxNames;
  readonly #partition: string;
  readonly #remoteName: string;
  readonly #local: Driver;
  readonly #clock: Clock;

  constructor({ names, partition, remoteName, local, clock }: UndeliveredOptions) {
    this.#names = names;
    this.#partition = partition;
    this.#remoteName = remoteName;
    this.#local = local;
    this.#clock = clock;
  }

  /** In one transaction with the entries of their lines, so that whoever opens the outbox next finds them. */
  async add(jobs: readonly NewJob[], request?: NumberedRequest): Promise<readonly EnqueueReceipt[]> {
    const { register, remotes } = this.#names;
    const entries = [...new Set(jobs.map(({ queue }) => queue))].map((queue): NewJob => {
      const entry: LineEntry = { queue, sender: crypto.randomUUID?.() ?? randomName() };
      return { queue: register, name: "line", id: queue, payload: JSON.stringify(entry) };
    });
    if (register !== remotes) {
      const entry: RemoteEntry = { remote: this.#remoteName };
      entries.push({ queue: remotes, name: "remote", id: register, payload: JSON.stringify(entry) });
    }
    const sealed = jobs.map((job) => seal(job, this.#names.jobs(job.queue), this.#clock.now()));
    const receipts = await this.#local.enqueue([...entries, ...sealed], request);
    return receipts.slice(entries.length);
  }

  /** The queues that there are jobs for, or have been. */
  async queues({ register }: OutboxNames = this.#names): Promise<readonly string[]> {
    return (await this.#entries<LineEntry>(register, "line")).map(({ queue }) => queue);
  }

  /** Pending jobs of this partition that wait for other remotes. */
  async elsewhere(): Promise<readonly { readonly remote: string; readonly pending: number }[]> {
    const entries = await this.#entries<RemoteEntry>(this.#names.remotes, "remote");
    const found: { remote: string; pending: number }[] = [];
    for (const remote of new Set(["", ...entries.map((entry) => entry.remote)])) {
      if (remote === this.#remoteName) continue;
      const names = new OutboxNames(this.#partition, remote);
      let pending = 0;
      for (const queue of await this.queues(names)) pending += (await this.counts(queue, names)).waiting;
      if (pending > 0) found.push({ remote, pending });
    }
    return found;
  }

  async #entries<T>(register: string, name: string): Promise<readonly T[]> {
    const entries: T[] = [];
    for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
      const page = await this.#local.list({ queue: register, limit: 1_000, ...(cursor !== undefined && { cursor }) });
      entries.push(...page.jobs.filter((job) => job.name === name).map(({ payload }) => payload as T));
      cursor = page.cursor;
    }
    return entries;
  }

  async get(queue: string, id: string): Promise<JobRecord | undefined> {
    const record = await this.#local.get(this.#names.jobs(queue), id);
    return record && shown(record, queue);
  }

  /** A page of those of a state; undefined when no job shows it here. `stage` is where to go on, as `next` said. */
  async list(
    { queue, state, ...query }: ListQuery,
    stage: number,
  ): Promise<(JobPage & { readonly next?: number }) | undefined> {
    const stages = state === undefined ? [undefined] : (STAGES[state] ?? []);
    if (stage >= stages.length) return undefined;
    const local = stages[stage];
    const page = await this.#local.list({ ...query, queue: this.#names.jobs(queue), ...(local && { state: local }) });
    const jobs = page.jobs.map((record) => shown(record, queue));
    if (page.cursor !== undefined) return { jobs, cursor: page.cursor, next: stage };
    return { jobs, ...(stage + 1 < stages.length && { next: stage + 1 }) };
  }

  /** All that is live waits: no attempt has begun. */
  async counts(queue: string, names = this.#names): Promise<Pick<JobCounts, "waiting" | "failed" | "cancelled">> {
    const { waiting, delayed, active, failed, cancelled } = await this.#local.counts(names.jobs(queue));
    return { waiting: waiting + delayed + active, failed, cancelled };
  }

  /** Undefined when the job is not here: then it is the remote's to answer. */
  async command(command: JobCommand): Promise<CommandReply | undefined> {
    const { type, queue, id } = command;
    const lane = this.#names.jobs(queue);
    if (type === "cancel" || type === "remove") return this.#end(type, queue, id);
    const record = await this.#local.get(lane, id);
    if (!record) return undefined;
    const now = this.#clock.now();
    const live = record.state !== "failed" && record.state !== "cancelled";
    try {
      if (type === "update") {
        const { priority } = command;
        const payload = reseal(record, command, now);
        return await this.#local.command({
          type,
          queue: lane,
          id,
          payload,
          ...(priority !== undefined && { priority }),
        });
      }
      if (type === "retry" || !live) return await this.#local.command({ type, queue: lane, id });
      if (!isDelayed(record, now)) return { affected: 0, state: "waiting" };
      return await this.#local.command({
        type: "update",
        queue: lane,
        id,
        payload: reseal(record, { delayMs: 0 }, now),
      });
    } catch (error) {
      // Delivered since we looked.
      if (partsOf(error).code === "job_not_found") return undefined;
      throw error;
    }
  }

  /** Of many jobs: answers how many of those here it changed. */
  async commandAll({ queue, ...command }: BulkCommand): Promise<number> {
    const lane = this.#names.jobs(queue);
    if (command.type === "retryAll") return (await this.#local.command({ ...command, queue: lane })).affected;
    const { state, ...filter } = command;
    let affected = 0;
    for (const stage of state === undefined ? (["active", undefined] as const) : (STAGES[state] ?? [])) {
      // Those in flight one by one, for the remote has to be told of each.
      if (stage === "active") affected += await this.#removeInFlight(queue, filter);
      else affected += (await this.#local.command({ ...filter, queue: lane, ...(stage && { state: stage }) })).affected;
    }
    return affected;
  }

  /** Removes all jobs of a queue. Those in flight leave when their line lets go of them. */
  async clear(queue: string): Promise<void> {
    for (const lane of [this.#names.jobs(queue), this.#names.cancels(queue)])
      await this.#local.command({ type: "clear", queue: lane });
  }

  /** Without its entry no tab sends anything of a queue. A job that is added from now on brings an entry of its own. */
  async forget(queue: string): Promise<void> {
    await this.#local.command({ type: "remove", queue: this.#names.register, id: queue });
  }

  /** The remote has no jobs here any more. */
  async forgetRemote(): Promise<void> {
    const { register, remotes } = this.#names;
    if (register !== remotes) await this.#local.command({ type: "remove", queue: remotes, id: register });
  }

  /** One in flight is asked for here and, after the remote's answer, there: whichever it has come to. */
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
    const lane = this.#names.jobs(queue);
    const { jobs } = await this.#local.list({ queue: lane, state: "active", limit: 1_000, ...(tags && { tags }) });
    for (const { id, name: own, addedAt } of jobs) {
      const old = olderThanMs === undefined || addedAt < this.#clock.now() - olderThanMs;
      if (old && (name === undefined || name === own))
        affected += (await this.#end("remove", queue, id))?.affected ?? 0;
    }
    return affected;
  }
}

const KEEP_NONE = { ...DEFAULTS.keep, completed: 0 };

/** On plain HTTP there is no `randomUUID`. */
const randomName = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
