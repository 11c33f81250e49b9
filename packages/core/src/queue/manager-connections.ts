import type { Producer } from "../attempt/handler-context.ts";
import type { WorkerEvents } from "../attempt/worker-events.ts";
import { checkDriver } from "../drivers/check-driver.ts";
import type { Driver } from "../engine/driver.ts";
import type { Emitter } from "../job/emitter.ts";
import { QuaysideError } from "../job/errors.ts";
import type { FlowJob } from "../job/flow.ts";
import type { JobRequest } from "../job/handler.ts";
import { checkName } from "../job/job-keys.ts";
import type { JobRecord } from "../job/job-record.ts";
import type { JobMap } from "../job/job-types.ts";
import type { Slots } from "../worker/slots.ts";
import type { JobWorkerOptions } from "../worker/worker-options.ts";
import type { PlacedJob, Placement } from "./manager-placement.ts";
import { QueueConnection } from "./queue-connection.ts";
import type { QueueContext } from "./queue-context.ts";

export interface ConnectionsOptions {
  readonly context: QueueContext;
  readonly placement: Placement;
  /** Receives the events of the workers of all connections. */
  readonly events: Emitter<WorkerEvents>;
  /** Slots for running jobs, shared by the workers of all connections. */
  readonly slots: Slots;
  readonly worker: Pick<
    JobWorkerOptions,
    "prefetch" | "lease" | "name" | "budget" | "sleep" | "alarm" | "connectivity"
  >;
  readonly defaultQueue: () => string;
  readonly drain: () => Promise<void>;
}

/** The connections (drivers) of a manager by name. Also adds jobs to them. */
export class Connections<Jobs extends JobMap, Ctx extends object> {
  readonly #options: ConnectionsOptions;
  readonly #connections = new Map<string, QueueConnection<Jobs, Ctx>>();
  #default: string | undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  get all(): ReadonlyMap<string, QueueConnection<Jobs, Ctx>> {
    return this.#connections;
  }

  get default(): string {
    return this.#default ?? "default";
  }

  setDefault(name: string): void {
    this.#default = this.get(name).name;
  }

  /** Adds a connection. The first is the default one. @throws {QuaysideError} `conflict` if the name is taken. */
  add(name: string, driver: Driver): QueueConnection<Jobs, Ctx> {
    if (this.#connections.has(name))
      throw new QuaysideError("conflict", `There is a connection named ${JSON.stringify(name)} already.`, { name });
    checkName(name, "connection");
    checkDriver(driver, `Connection ${JSON.stringify(name)}`);
    const { context, events, placement, slots, worker, defaultQueue, drain } = this.#options;
    const { clock, random } = context;
    const { prefetch, lease, name: label, budget, sleep, alarm, connectivity } = worker;
    const connection = new QueueConnection<Jobs, Ctx>(name, driver, {
      context,
      events,
      producer: this.#producerOf(name),
      defaultQueue,
      concurrencyOf: (queue) => placement.settings(queue).concurrency,
      worker: {
        prefetch,
        lease,
        name: label,
        budget,
        sleep,
        alarm,
        connectivity,
        clock,
        random,
        slots,
      },
      drain,
    });
    this.#connections.set(name, connection);
    this.#default ??= name;
    return connection;
  }

  /**
   * Returns a connection.
   *
   * @throws {QuaysideError} `invalid_option` if there is none of this name.
   */
  get(name: string): QueueConnection<Jobs, Ctx> {
    const connection = this.#connections.get(name);
    if (connection) return connection;
    const known = [...this.#connections.keys()].join(", ");
    const hint = known ? `Known are: ${known}` : "There is none at all: give the manager a driver";
    throw new QuaysideError("invalid_option", `There is no connection named ${JSON.stringify(name)}. ${hint}.`, {
      option: "connection",
    });
  }

  /**
   * Adds jobs to their connections, in one transaction per connection. Resolves with their ids, in the order of
   * `placed`. Checks all jobs before it stores any; if a connection fails, the jobs that were already stored on other
   * connections stay.
   */
  async enqueue(placed: readonly PlacedJob[]): Promise<readonly string[]> {
    const names = new Set(placed.map(({ connection }) => connection));
    const parts = [...names].map((name) => ({
      submitter: this.get(name).submitter,
      places: placed.flatMap(({ connection }, index) => (connection === name ? [index] : [])),
    }));
    if (parts.length < 2) return parts[0]?.submitter.add(placed) ?? [];
    const draftAt = (index: number) => ({ ...(placed[index] as PlacedJob), at: `jobs[${index}]` });
    // Reports every invalid job before the first connection stores any.
    const planned = await Promise.all(
      parts.map(async ({ submitter, places }) => ({ places, store: await submitter.plan(places.map(draftAt)) })),
    );
    const stored: { readonly places: readonly number[]; readonly runImmediately: () => Promise<readonly string[]> }[] =
      [];
    for (const { places, store } of planned) stored.push({ places, runImmediately: await store() });
    const ids = new Array<string>(placed.length);
    const ended = await Promise.allSettled(
      stored.map(async ({ places, runImmediately }) => {
        const own = await runImmediately();
        for (const [index, place] of places.entries()) ids[place] = own[index] as string;
      }),
    );
    for (const result of ended) if (result.status === "rejected") throw result.reason;
    return ids;
  }

  /**
   * Returns the functions that add jobs for handlers of this connection. By default, they add to the
   * connection and queue of the running job.
   */
  #producerOf(connection: string): Producer {
    const place = (request: JobRequest, { queue }: JobRecord) =>
      this.#options.placement.place(request, { queue, connection });
    return {
      enqueue: async (request, from) => (await this.enqueue([place(request, from)]))[0] as string,
      publish: ({ queues, ...request }, from) =>
        this.enqueue(queues.map((queue) => place({ ...request, queue }, from))),
      addFlow: (flow, { queue }) =>
        this.get(connection)
          .queue(queue)
          .addFlow(flow as FlowJob<Jobs>),
    };
  }
}
