import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type Clock, type Driver, type HandlerContext, Queue, QueueWorker } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { bearerTokens, queueApi, queueStub, StubDriver } from "@quayside/edge";
import { faulty } from "./faulty-shards.ts";

const opened: { readonly drivers: Driver[]; readonly workers: QueueWorker[] } = { drivers: [], workers: [] };

/** Closes the drivers of the workers that were made here, and deletes every object. */
export async function closeAll(): Promise<void> {
  await Promise.all(opened.drivers.splice(0).map((driver) => driver.close()));
  opened.workers.length = 0;
  await reset();
}

let count = 0;
const QUEUES = 3;

export interface RemoteWorker {
  readonly worker: QueueWorker;
  readonly driver: Driver;
  readonly errors: unknown[];
  /** Jobs that handlers began and ended, each run of them. */
  readonly began: string[];
  readonly ran: string[];
  readonly aborted: string[];
  /** Jobs that the worker told of, as `completed ID` or `failed ID`. */
  readonly told: string[];
}

/**
 * Three queues, each in an object of its own, with so many jobs each, and remote workers of all three over one
 * `httpDriver`. The worker's time is the clock's.
 *
 * @param splitLast the last queue is split over two objects: with jobs in the second one alone, under an own fault.
 */
export async function openQueues(each: number | readonly number[], { splitLast = false } = {}) {
  const base = `several-${count++}`;
  const names = Array.from({ length: QUEUES }, (_, index) => `${base}-${index}`);
  const objects = splitLast ? [...names, `${names[2]}#1`] : names;
  const faults = faulty(env.BARE_QUEUE, objects);
  const alone = (index: number) => new StubDriver(() => queueStub(env.BARE_QUEUE, objects[index] as string));
  const ids: string[] = [];
  const api = queueApi({
    object: () => faults.namespace,
    auth: bearerTokens({ token: { scopes: ["enqueue", "work", "admin"], subject: "tests" } }),
    ...(splitLast && { shards: { [names[2] as string]: 2 } }),
  });
  const fetch = async (url: string, init: RequestInit) => api.request(url, init, env);
  const producer = httpDriver({ url: "", token: "token", fetch });
  opened.drivers.push(producer);
  for (const [index, name] of names.entries()) {
    const amount = typeof each === "number" ? each : (each[index] as number);
    const own = Array.from({ length: amount }, (_, job) => `${index}/${job}`);
    ids.push(...own);
    if (own.length > 0)
      await new Queue(name, producer).addJobs(own.map((id) => ({ name: "email", payload: null, id })));
  }
  const work = (
    clock: Clock,
    handler: (ctx: HandlerContext) => Promise<unknown> = async () => {},
    {
      perQueue,
      ...options
    }: { readonly concurrency?: number; readonly lease?: number; readonly perQueue?: number } = {},
  ): RemoteWorker => {
    const driver = httpDriver({ url: "", token: "token", fetch, clock });
    opened.drivers.push(driver);
    const noted = {
      errors: [] as unknown[],
      began: [] as string[],
      ran: [] as string[],
      aborted: [] as string[],
      told: [] as string[],
    };
    const queues = names.map((name) => {
      const queue = new Queue(name, driver, { clock });
      queue.on("job:email", async (_, ctx) => {
        noted.began.push(ctx.id);
        ctx.signal.addEventListener("abort", () => void noted.aborted.push(ctx.id));
        const result = await handler(ctx);
        noted.ran.push(ctx.id);
        return result;
      });
      return { queue, concurrency: perQueue };
    });
    const worker = new QueueWorker(queues, options);
    worker.on("error", ({ error }) => noted.errors.push(error));
    for (const event of ["completed", "failed", "retrying"] as const)
      worker.on(event, ({ job }) => noted.told.push(`${event} ${job.id}`));
    opened.workers.push(worker);
    return { worker, driver, ...noted };
  };
  const of = (index: number) => ids.filter((id) => id.startsWith(`${index}/`));
  const counts = async () => {
    const all = await Promise.all(names.map((name) => producer.counts(name)));
    return all.map(({ completed, failed, waiting, active, delayed }) => ({
      completed,
      left: failed + waiting + active + delayed,
    }));
  };
  return { names, ids, of, faults, work, alone, counts, api };
}
