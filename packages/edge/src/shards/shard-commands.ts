import { QuaysideError } from "@quayside/core";
import type { Command, CommandReply } from "@quayside/core/engine";
import { askShard, LAYOUTS_MOST, LIMITED, type ShardAsker } from "./ask-shard.ts";
import type { JobFinder } from "./find-job.ts";
import { shardOfKey } from "./route.ts";

export interface ShardCommandsOptions extends ShardAsker {
  readonly finder: JobFinder;
}

type JobCommand = Extract<Command, { readonly id: string }>;

/**
 * Sends an operator's commands to the shards of a queue: commands about a job to the shard that has it, commands about
 * the queue to all shards. A command to all shards is not atomic: if a shard fails, others may have run it. Every
 * command may be repeated.
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
        // `keep` applies per shard, so more jobs are kept than the number says.
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

  /**
   * Sends a command to the shard that has the job. Jobs with the same id and different keys may exist in several
   * shards: `cancel` and `remove` apply to all of them.
   *
   * @throws {QuaysideError} `conflict` for other commands if several shards have the id; `details.shards` lists them.
   */
  async #onJob(command: JobCommand): Promise<CommandReply> {
    const { shard, finder } = this.#options;
    const { queue, id, type } = command;
    const maker = finder.madeBy(id);
    if (maker !== undefined) {
      const done = await this.#at(maker, command);
      if (done) return done;
    }
    const found = await finder.find(queue, id, finder.shardsOf(id));
    const [first, ...others] = found.map(([place]) => place);
    // The shard answers as for a job that does not exist.
    if (first === undefined) return shard(maker ?? 0).command(command);
    if (others.length === 0) return shard(first).command(command);
    const shards = [first, ...others];
    if (type !== "cancel" && type !== "remove") throw ambiguous(command, shards);
    return this.#inAll(command, shards);
  }

  /** Sends the command to a shard and returns its reply; undefined if the shard has no such job. */
  async #at(index: number, command: JobCommand): Promise<CommandReply | undefined> {
    try {
      const reply = await this.#options.shard(index).command(command);
      return reply.affected > 0 || reply.state !== undefined ? reply : undefined;
    } catch (error) {
      if (error instanceof QuaysideError && error.code === "job_not_found") return undefined;
      throw error;
    }
  }

  /** Sets a recurrence in the shard to which its key belongs, then deletes it from the shard of the previous layout. */
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
    // Each shard gets the layout first, so that no caller can set the recurrence under an older one.
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

  /**
   * Sends the layout and the queue's settings to a shard. If the shard has a newer number of shards, returns that
   * number.
   */
  async #join(index: number, queue: string): Promise<number | undefined> {
    const ask = { shard: index, jobs: [], queues: [queue], layout: this.#options.layout.asSent };
    const answer = await askShard(this.#options, ask);
    return typeof answer === "number" ? answer : undefined;
  }

  /**
   * Checks the limits of a `configure` command.
   *
   * @throws {QuaysideError} `invalid_option` for limits that would have to hold over all shards.
   */
  #checkLimits(command: Extract<Command, { readonly type: "configure" }>): void {
    // Also while shrinking: until the removed shards are empty, limits would apply to each of them.
    const { reach: count } = this.#options.layout;
    if (count === 1) return;
    for (const option of LIMITED) {
      if (command[option] === undefined || command[option] === null) continue;
      throw new QuaysideError(
        "invalid_option",
        `${option} cannot hold over the ${count} shards of queue ${command.queue}: each counts for itself.`,
        { option, queue: command.queue },
      );
    }
  }

  async #all(command: Command): Promise<CommandReply> {
    const shards = Array.from({ length: this.#options.layout.reach }, (_, index) => index);
    const { affected } = await this.#inAll(command, shards);
    return { affected };
  }

  /** Sends a command to all of these shards. Returns the state of the first. */
  async #inAll(command: Command, shards: readonly number[]): Promise<CommandReply> {
    const { shard } = this.#options;
    const replies = await Promise.allSettled(shards.map((index) => shard(index).command(command)));
    const done = shards.filter((_, at) => replies[at]?.status === "fulfilled");
    const broken = replies.find((reply) => reply.status === "rejected");
    if (broken) throw failed(command, broken.reason, done, shards.length);
    const values = replies.map((reply) => (reply as PromiseFulfilledResult<CommandReply>).value);
    const affected = values.reduce((sum, value) => sum + value.affected, 0);
    const state = values[0]?.state;
    return { affected, ...(state !== undefined && { state }) };
  }
}

const ambiguous = ({ type, queue, id }: JobCommand, shards: readonly number[]): QuaysideError =>
  new QuaysideError(
    "conflict",
    `Job ${JSON.stringify(id)} of queue ${queue} is there ${shards.length} times, in shards ${shards.join(" and ")}: ` +
      `${type} cannot say which is meant. cancel and remove take all of them.`,
    { id, queue, shards },
  );

/** Creates the error of a command that failed in one shard, with the shards that have done it. */
function failed({ type, queue }: Command, error: unknown, done: readonly number[], shards: number): unknown {
  if (done.length === 0 || !(error instanceof QuaysideError)) return error;
  return new QuaysideError(
    error.code,
    `${error.message} Of the ${shards} shards of queue ${queue} ${done.length} have done it (${type}): send it again.`,
    { ...error.details, done, shards },
    error,
  );
}
