import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type Clock, type Driver, type HandlerContext, Queue, systemClock } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { bearerTokens, queueApi, queueStub, StubDriver, shardedDriver, shardOfKey } from "@quayside/edge";
import type { ManualClock } from "@quayside/testing";
import { expect } from "vitest";
import { type Fault, faulty } from "./faulty-shards.ts";

const drivers: Driver[] = [];

/** Closes the drivers of the workers that were made here, and deletes every object. */
export async function closeAll(): Promise<void> {
  await Promise.all(drivers.splice(0).map((driver) => driver.close()));
  await reset();
}

let opened = 0;
export const SHARDS = 4;

/** A queue over four objects, of which each has so many jobs, and a remote worker of it whose time is moved by hand. */
export async function open(each = 6) {
  const name = `faults-${opened++}`;
  const faults = faulty(env.BARE_QUEUE, name);
  const producer = new Queue(name, shardedDriver(env.BARE_QUEUE, name, { shards: SHARDS }));
  const shardOf = (job: string) => shardOfKey(job, SHARDS);
  const ids: string[] = [];
  for (let n = 0; ids.length < each * SHARDS; n++) {
    const id = `job-${n}`;
    if (ids.filter((other) => shardOf(other) === shardOf(id)).length < each) ids.push(id);
  }
  await producer.addJobs(ids.map((id) => ({ name: "email", payload: null, id })));
  const of = (shard: number) => ids.filter((id) => shardOf(id) === shard);
  const api = queueApi({
    object: () => faults.namespace,
    auth: bearerTokens({ token: { scopes: ["enqueue", "work", "admin"], subject: "tests" } }),
    shards: { [name]: SHARDS },
  });
  /** A worker in another process, as far as its driver goes: over RPC on this clock, or over HTTP. */
  const remote = (way: ManualClock | "HTTP", handler: (ctx: HandlerContext) => Promise<unknown> = async () => {}) => {
    const clock = way === "HTTP" ? systemClock : way;
    const driver =
      way === "HTTP"
        ? httpDriver({ url: "", token: "token", fetch: async (url, init) => api.request(url, init, env) })
        : shardedDriver(faults.namespace, name, { shards: SHARDS, clock });
    drivers.push(driver);
    const worker = new Queue(name, driver, { clock });
    const errors: unknown[] = [];
    const ran: string[] = [];
    /** Jobs that the worker told of, as `completed ID` or `failed ID`. */
    const told: string[] = [];
    for (const event of ["completed", "failed", "retrying"] as const)
      worker.on(event, ({ job }) => told.push(`${event} ${job.id}`));
    worker.on("error", ({ error }) => errors.push(error));
    worker.on("job:email", async (_, ctx) => {
      const result = await handler(ctx);
      ran.push(ctx.id);
      return result;
    });
    return { worker, errors, ran, told };
  };
  const advance = async (clock: ManualClock, ms: number) => {
    for (let shard = 0; shard < SHARDS; shard++)
      await env.BARE_QUEUE.getByName(shard === 0 ? name : `${name}#${shard}`).advance(ms);
    await clock.advance(ms);
    await new Promise((resolve) => setTimeout(resolve, 5));
  };
  const alone = (shard: number) => new StubDriver(() => queueStub(env.BARE_QUEUE, name, shard));
  return { name, producer, of, remote, faults, advance, alone, ids };
}

export const faultOf = {
  throws: () => "throws",
  hangs: () => "hangs",
  "is slow": (clock: Clock) => async (call: () => Promise<unknown>) => {
    await new Promise<void>((resolve) => void clock.after(clock === systemClock ? 1_200 : 3_000, resolve));
    return call();
  },
} satisfies Record<string, (clock: Clock) => Fault>;

/** Moves time on, in steps, until it is so. */
export async function until(clock: ManualClock, stepMs: number, isSo: () => boolean): Promise<void> {
  for (let step = 0; step < 400 && !isSo(); step++) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    await clock.advance(stepMs);
  }
  expect(isSo()).toBe(true);
}
