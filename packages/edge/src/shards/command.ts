import { QuaysideError } from "@quayside/core";
import type { Command, CommandReply } from "@quayside/core/engine";
import { askShard, LAYOUTS_MOST } from "./add.ts";
import type { Layout } from "./layout.ts";
import { shardOfKey } from "./route.ts";
import type { ShardPort } from "./shard-port.ts";

export interface ShardCommandsOptions {
  readonly layout: Layout;
  readonly shard: (index: number) => ShardPort;
  /** Where a job of this id may lie. */
  readonly places: (id: string) => { readonly first: number; readonly rest: readonly number[] };
}

type JobCommand = Extract<Command, { readonly id: string }>;

/**
 * An operator's commands to the shards of a queue: those about one job to the shard that has it, those about the queue to
 * all. The latter are not one action: should a shard fail, the others have done it. Each may be sent again.
 */
export class ShardCommands {
  readonly #options: ShardCommandsOptions;

  constructor(options: ShardCommandsOptions) {
    this.#options = options;
  }

  async run(command: Command): Promise<CommandReply> {
    switch (command.type) {
      case "schedule":
        return this.#schedule(command);
      case "configure":
        // What is kept, each shard keeps: so the newest of all are kept, and some more.
        this.#checkLimits(command);
        return this.#all(command);
      case "unschedule":
      case "retryAll":
      case "clear":
      case "pause":
      case "resume":
        return this.#all(command);
      default:
        return this.#onJob(command);
    }
  }

  /** To the first place where the job may be, and if it is not there, to where it is. */
  async #onJob(command: JobCommand): Promise<CommandReply> {
    const { shard, places } = this.#options;
    const { first, rest } = places(command.id);
    let missing: unknown;
    let nothing: CommandReply | undefined;
    try {
      const reply = await shard(first).command(command);
      if (reply.affected > 0 || reply.state !== undefined) return reply;
      nothing = reply;
    } catch (error) {
      if (!(error instanceof QuaysideError && error.code === "job_not_found")) throw error;
      missing = error;
    }
    const found = await Promise.all(
      rest.map(async (at) => ((await shard(at).get(command.queue, command.id)) ? [at] : [])),
    );
    const [at] = found.flat();
    if (at !== undefined) return shard(at).command(command);
    if (nothing) return nothing;
    throw missing;
  }

  /** A recurrence lies where its key says. What an earlier layout has of it goes when the new one stands. */
  async #schedule(command: Extract<Command, { readonly type: "schedule" }>): Promise<CommandReply> {
    const { layout, shard } = this.#options;
    const { key, queue, job } = command;
    if (job.group && job.group.key !== key && layout.reach > 1) {
      throw new QuaysideError(
        "invalid_option",
        `The jobs of recurrence ${JSON.stringify(key)} are in group ${JSON.stringify(job.group.key)}, which may lie in ` +
          "another shard. Name the recurrence like the group.",
        { option: "group", queue, key },
      );
    }
    // Each shard is told of the layout first: then nobody sets the recurrence by an older one any more.
    for (let time = 0; time < LAYOUTS_MOST; time++) {
      const home = shardOfKey(key, layout.count);
      const before = layout.previous === undefined ? home : shardOfKey(key, layout.previous);
      const newer = (await this.#join(home, queue)) ?? (before === home ? undefined : await this.#join(before, queue));
      if (newer !== undefined) {
        layout.adopt(newer);
        continue;
      }
      if (before !== home) await shard(before).command({ type: "unschedule", queue, key });
      return shard(home).command(command);
    }
    throw new QuaysideError("conflict", "The number of shards changes faster than this call can follow.", {});
  }

  /** Tells a shard of the layout and of the queue's settings. Answers a newer number of shards, where it was told of one. */
  async #join(index: number, queue: string): Promise<number | undefined> {
    const ask = { shard: index, jobs: [], queues: [queue], layout: this.#options.layout.asSent };
    const answer = await askShard(this.#options, ask);
    return typeof answer === "number" ? answer : undefined;
  }

  /** @throws {QuaysideError} `invalid_option` for limits that the shards cannot hold together. */
  #checkLimits(command: Extract<Command, { readonly type: "configure" }>): void {
    // Shrinking, too: until those that go are empty, they count for themselves.
    const { reach: count } = this.#options.layout;
    if (count === 1) return;
    for (const option of ["rateLimit", "maxActive"] as const) {
      if (command[option] === undefined || command[option] === null) continue;
      throw new QuaysideError(
        "invalid_option",
        `${option} cannot hold over the ${count} shards of queue ${command.queue}: each counts for itself.`,
        { option, queue: command.queue },
      );
    }
  }

  async #all(command: Command): Promise<CommandReply> {
    const { layout, shard } = this.#options;
    const shards = Array.from({ length: layout.reach }, (_, index) => index);
    const replies = await Promise.allSettled(shards.map((index) => shard(index).command(command)));
    const done = shards.filter((index) => replies[index]?.status === "fulfilled");
    const broken = replies.find((reply) => reply.status === "rejected");
    if (broken) throw failed(command, broken.reason, done, layout.reach);
    const affected = replies.reduce(
      (sum, reply) => sum + (reply as PromiseFulfilledResult<CommandReply>).value.affected,
      0,
    );
    return { affected };
  }
}

/** The error of one shard, saying which of them have done it. */
function failed({ type, queue }: Command, error: unknown, done: readonly number[], shards: number): unknown {
  if (done.length === 0 || !(error instanceof QuaysideError)) return error;
  return new QuaysideError(
    error.code,
    `${error.message} Of the ${shards} shards of queue ${queue} ${done.length} have done it (${type}): send it again.`,
    { ...error.details, done, shards },
    error,
  );
}
