import { type Clock, type JobCounts, type JobPage, type JobRecord, QuaysideError, type Schedule } from "@quayside/core";
import {
  type ChildrenPage,
  type Command,
  type CommandReply,
  checkProtocol,
  type EnqueueReceipt,
  type ExchangeReply,
  type ExchangeRequest,
  type ListQuery,
  type NewJob,
  type NumberedRequest,
} from "@quayside/core/engine";
import type { Quota } from "../object/caller-quota.ts";
import type { ObjectDriver } from "../object/object-driver.ts";
import { changeStream } from "../streams/change-stream.ts";
import { checkCommand, checkJobs, checkQuery, checkQueues, checkRound, checkShard, checkTexts } from "./call-checks.ts";
import { type QueueRpc, type Reply, reply, type ShardVerbs } from "./queue-rpc.ts";

export interface ObjectRpcOptions {
  readonly driver: ObjectDriver;
  readonly clock: Clock;
  /** Runs at the start of every call. Never rejects. `queues`: the queues to which the call writes. */
  readonly enter: (queues?: readonly string[]) => Promise<void>;
}

/** The RPC methods of an object's queues. Each returns a `Reply`. */
export class ObjectRpc implements QueueRpc {
  readonly #options: ObjectRpcOptions;

  constructor(options: ObjectRpcOptions) {
    this.#options = options;
  }

  enqueue(
    jobs: readonly NewJob[],
    request?: NumberedRequest,
    quota?: Quota,
    protocol?: number,
  ): Promise<Reply<readonly EnqueueReceipt[]>> {
    return this.#answer(
      protocol,
      (driver) => driver.enqueue(jobs, request, quota),
      () => {
        checkJobs(jobs, request);
        return jobs.map(({ queue }) => queue);
      },
    );
  }

  exchange(request: ExchangeRequest, protocol?: number): Promise<Reply<ExchangeReply>> {
    // Only the object's own worker dies with the object. Other workers are detected as dead by time, whatever they
    // send.
    return this.#answer(protocol, (driver) => {
      const round = checkRound(request);
      if (driver.isOwn(round.worker))
        throw new QuaysideError("forbidden", "A worker of the object itself has this key.", { option: "worker" });
      return driver.exchangePage({ ...round, liveness: "time" });
    });
  }

  get(queue: string, id: string, protocol?: number): Promise<Reply<JobRecord | undefined>> {
    return this.#answer(protocol, (driver) => {
      checkTexts({ queue, id });
      return driver.get(queue, id);
    });
  }

  list(query: ListQuery, protocol?: number): Promise<Reply<JobPage>> {
    return this.#answer(protocol, (driver) => driver.list(checkQuery(query)));
  }

  counts(queue: string, protocol?: number): Promise<Reply<JobCounts>> {
    return this.#answer(protocol, (driver) => {
      checkTexts({ queue });
      return driver.counts(queue);
    });
  }

  command(command: Command, protocol?: number): Promise<Reply<CommandReply>> {
    return this.#answer(
      protocol,
      (driver) => driver.command(command),
      () => [checkCommand(command).queue],
    );
  }

  schedules(queue: string, after?: string, protocol?: number): Promise<Reply<readonly Schedule[]>> {
    return this.#answer(protocol, (driver) => {
      checkTexts({ queue, ...(after !== undefined && { after }) });
      return driver.schedulesPage(queue, after);
    });
  }

  children(queue: string, id: string, after: string, protocol?: number): Promise<Reply<ChildrenPage>> {
    return this.#answer(protocol, (driver) => {
      checkTexts({ queue, id, ...(after !== undefined && { after }) });
      return driver.childrenPage(queue, id, after);
    });
  }

  nextWake(queues: readonly string[], protocol?: number): Promise<Reply<number | undefined>> {
    return this.#answer(protocol, (driver) => driver.nextWake(checkQueues(queues)));
  }

  shard<Verb extends keyof ShardVerbs>(
    verb: Verb,
    ask: ShardVerbs[Verb]["ask"],
    protocol?: number,
  ): Promise<Reply<ShardVerbs[Verb]["answer"]>> {
    return this.#answer(
      protocol,
      (driver) => driver.shard(verb, ask),
      () => {
        checkShard(verb, ask);
        return "jobs" in ask ? ask.jobs.map(({ queue }) => queue) : [];
      },
    );
  }

  async events(queue?: string): Promise<ReadableStream<Uint8Array>> {
    const { enter, driver, clock } = this.#options;
    await enter();
    return changeStream((listener) => driver.watch(listener), clock, queue);
  }

  /**
   * Runs a verb and returns its `Reply`.
   *
   * @param queues checks the call and returns the queues to which it writes.
   */
  async #answer<T>(
    protocol: number | undefined,
    work: (driver: ObjectDriver) => Promise<T>,
    queues?: () => readonly string[],
  ): Promise<Reply<T>> {
    const { enter, driver } = this.#options;
    let brought: readonly string[] | undefined;
    const checked = await reply(async () => {
      checkProtocol("request", protocol);
      brought = queues?.();
    });
    if (!checked.ok) return checked;
    await enter(brought);
    return reply(() => work(driver));
  }
}
