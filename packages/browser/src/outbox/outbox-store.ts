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
import { OutboxNames } from "./local-queue-names.ts";
import type { QueueForwarderEntry } from "./queue-forwarder.ts";

/** An entry in the list of remotes: one per remote, and one for the remote that took the lanes of earlier versions. */
interface RemoteEntry {
  readonly remote: string;
}
/** Id, in the list of remotes, of the entry that says whose the lanes of earlier versions are. The first one stays. */
const HEIR = "heir";

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

/** The states in which a job of the outbox lies here, by the state that it shows. */
const STAGES: Readonly<Partial<Record<JobState, readonly JobState[]>>> = {
  waiting: ["active", "waiting"],
  failed: ["failed"],
  cancelled: ["cancelled"],
};

/** The jobs that the remote does not have yet, or will not have: adds them, shows them, does what is asked of them. */
export class OutboxStore {
  readonly #names: OutboxNames;
  readonly #shared: OutboxNames;
  readonly #partition: string;
  readonly #remoteName: string;
  readonly #local: Driver;
  readonly #clock: Clock;
  #lanes: Promise<readonly OutboxNames[]> | undefined;

  constructor({ names, partition, remoteName, local, clock }: OutboxStoreOptions) {
    this.#names = names;
    this.#shared = new OutboxNames(partition, undefined);
    this.#partition = partition;
    this.#remoteName = remoteName;
    this.#local = local;
    this.#clock = clock;
  }

  /** In one transaction with the entries of their lines, so that whoever opens the outbox next finds them. */
  async add(jobs: readonly NewJob[], request?: NumberedRequest): Promise<readonly EnqueueReceipt[]> {
    const { register, remotes } = this.#names;
    const here: RemoteEntry = { remote: this.#remoteName };
    const entries = [...new Set(jobs.map(({ queue }) => queue))].map((queue): NewJob => {
      const entry: QueueForwarderEntry = { queue, sender: crypto.randomUUID?.() ?? randomName() };
      return { queue: register, name: "line", id: queue, payload: JSON.stringify(entry) };
    });
    entries.push({ queue: remotes, name: "remote", id: register, payload: JSON.stringify(here) });
    const sealed = jobs.map((job) => seal(job, this.#names.jobs(job.queue), this.#clock.now()));
    const receipts = await this.#local.enqueue([...entries, ...sealed], request);
    return receipts.slice(entries.length);
  }

  /**
   * The lanes of this outbox: its own, and before them those of earlier versions, where it has inherited them. Looked up
   * once: `inherit` looks again.
   */
  lanes(): Promise<readonly OutboxNames[]> {
    this.#lanes ??= this.#heir().then(
      (heir) => (heir === this.#remoteName ? [this.#shared, this.#names] : [this.#names]),
      (error: unknown) => {
        this.#lanes = undefined;
        throw error;
      },
    );
    return this.#lanes;
  }

  /** Takes over what an earlier version, which knew of one remote only, has left, unless another remote has it. */
  async inherit(): Promise<readonly OutboxNames[]> {
    const { remotes } = this.#names;
    if ((await this.#heir()) === this.#remoteName && !(await this.#local.get(remotes, HEIR))) {
      const here: RemoteEntry = { remote: this.#remoteName };
      await this.#local.enqueue([{ queue: remotes, name: HEIR, id: HEIR, payload: JSON.stringify(here) }]);
    }
    this.#lanes = undefined;
    return this.lanes();
  }

  /** The remote that has the lanes of earlier versions, or may have them; undefined when there is nothing in them. */
  async #heir(): Promise<string | undefined> {
    const record = await this.#local.get(this.#names.remotes, HEIR);
    if (record) return (record.payload as RemoteEntry).remote;
    return (await this.queues(this.#shared)).length > 0 ? this.#remoteName : undefined;
  }

  /** The lanes that a local queue belongs to, if they can be this outbox's. */
  namesOf(local: string): OutboxNames | undefined {
    return [this.#names, this.#shared].find((names) => names.has(local));
  }

  /** The queues that there are jobs for, or have been. */
  async queues({ register }: OutboxNames): Promise<readonly string[]> {
    return (await this.#entries<QueueForwarderEntry>(register, "line")).map(({ queue }) => queue);
  }

  /** Jobs of all queues: those that are pending, those that were refused. */
  async totals(lanes: readonly OutboxNames[]): Promise<{ readonly pending: number; readonly failed: number }> {
    let [pending, failed] = [0, 0];
    for (const names of lanes) {
      for (const queue of await this.queues(names)) {
        const counts = await this.counts(queue, [names]);
        pending += counts.waiting;
        failed += counts.failed;
      }
    }
    return { pending, failed };
  }

  /** Pending jobs of this partition that wait for other remotes. */
  async elsewhere(): Promise<readonly { readonly remote: string; readonly pending: number }[]> {
    const heir = await this.#heir();
    const entries = await this.#entries<RemoteEntry>(this.#names.remotes, "remote");
    const others = new Set([...(heir === undefined ? [] : [heir]), ...entries.map(({ remote }) => remote)]);
    others.delete(this.#remoteName);
    const found: { remote: string; pending: number }[] = [];
    for (const remote of others) {
      const own = new OutboxNames(this.#partition, remote);
      const { pending } = await this.totals(remote === heir ? [this.#shared, own] : [own]);
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
    for (const names of await this.lanes()) {
      const record = await this.#local.get(names.jobs(queue), id);
      if (record) return shown(record, queue);
    }
    return undefined;
  }

  /** A page of those of a state; undefined when no job shows it here. `stage` is where to go on, as `next` said. */
  async list(
    { queue, state, ...query }: ListQuery,
    stage: number,
  ): Promise<(JobPage & { readonly next?: number }) | undefined> {
    const states = state === undefined ? [undefined] : (STAGES[state] ?? []);
    const stages = (await this.lanes()).flatMap((names) => states.map((local) => ({ names, local })));
    const at = stages[stage];
    if (!at) return undefined;
    const { names, local } = at;
    const page = await this.#local.list({ ...query, queue: names.jobs(queue), ...(local && { state: local }) });
    const jobs = page.jobs.map((record) => shown(record, queue));
    if (page.cursor !== undefined) return { jobs, cursor: page.cursor, next: stage };
    return { jobs, ...(stage + 1 < stages.length && { next: stage + 1 }) };
  }

  /** All that is live waits: no attempt has begun. */
  async counts(
    queue: string,
    lanes?: readonly OutboxNames[],
  ): Promise<Pick<JobCounts, "waiting" | "failed" | "cancelled">> {
    const sum = { waiting: 0, failed: 0, cancelled: 0 };
    for (const names of lanes ?? (await this.lanes())) {
      const { waiting, delayed, active, failed, cancelled } = await this.#local.counts(names.jobs(queue));
      sum.waiting += waiting + delayed + active;
      sum.failed += failed;
      sum.cancelled += cancelled;
    }
    return sum;
  }

  /** Undefined when the job is not here: then it is the remote's to answer. */
  async command(command: JobCommand): Promise<CommandReply | undefined> {
    for (const names of await this.lanes()) {
      const reply = await this.#command(names, command);
      if (reply) return reply;
    }
    return undefined;
  }

  async #command(names: OutboxNames, command: JobCommand): Promise<CommandReply | undefined> {
    const { type, queue, id } = command;
    const lane = names.jobs(queue);
    if (type === "cancel" || type === "remove") return this.#end(names, type, queue, id);
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
    let affected = 0;
    for (const names of await this.lanes()) {
      const lane = names.jobs(queue);
      if (command.type === "retryAll") {
        affected += (await this.#local.command({ ...command, queue: lane })).affected;
        continue;
      }
      const { state, ...filter } = command;
      for (const stage of state === undefined ? (["active", undefined] as const) : (STAGES[state] ?? [])) {
        // Those in flight one by one, for the remote has to be told of each.
        if (stage === "active") affected += await this.#removeInFlight(names, queue, filter);
        else {
          const { affected: more } = await this.#local.command({
            ...filter,
            queue: lane,
            ...(stage && { state: stage }),
          });
          affected += more;
        }
      }
    }
    return affected;
  }

  /** Removes all jobs of a queue. Those in flight leave when their line lets go of them. */
  async clear(names: OutboxNames, queue: string): Promise<void> {
    for (const lane of [names.jobs(queue), names.cancels(queue)])
      await this.#local.command({ type: "clear", queue: lane });
  }

  /** Without its entry no tab sends anything of a queue. A job that is added from now on brings an entry of its own. */
  async forget({ register }: OutboxNames, queue: string): Promise<void> {
    await this.#local.command({ type: "remove", queue: register, id: queue });
  }

  /** The remote has no jobs here any more. */
  async forgetRemote(): Promise<void> {
    const { register, remotes } = this.#names;
    await this.#local.command({ type: "remove", queue: remotes, id: register });
  }

  /** One in flight is asked for here and, after the remote's answer, there: whichever it has come to. */
  async #end(
    names: OutboxNames,
    type: "cancel" | "remove",
    queue: string,
    id: string,
  ): Promise<CommandReply | undefined> {
    const reply = await this.#local.command({ type, queue: names.jobs(queue), id });
    if (reply.state === "active" && reply.affected > 0) {
      const payload = JSON.stringify({ type, id });
      await this.#local.enqueue([{ queue: names.cancels(queue), name: type, payload, keep: KEEP_NONE }]);
    }
    return reply.affected === 0 && reply.state === undefined ? undefined : reply;
  }

  async #removeInFlight(
    names: OutboxNames,
    queue: string,
    { name, tags, olderThanMs }: Partial<BulkCommand>,
  ): Promise<number> {
    let affected = 0;
    const lane = names.jobs(queue);
    const { jobs } = await this.#local.list({ queue: lane, state: "active", limit: 1_000, ...(tags && { tags }) });
    for (const { id, name: own, addedAt } of jobs) {
      const old = olderThanMs === undefined || addedAt < this.#clock.now() - olderThanMs;
      if (old && (name === undefined || name === own))
        affected += (await this.#end(names, "remove", queue, id))?.affected ?? 0;
    }
    return affected;
  }
}

const KEEP_NONE = { ...DEFAULTS.keep, completed: 0 };

/** On plain HTTP there is no `randomUUID`. */
const randomName = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
