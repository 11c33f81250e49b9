// Checked by tsc with the rest of this folder; never run.
import { DurableObject } from "cloudflare:workers";
import { defineJobs, type JobRecord } from "@quayside/core";
import { edgeQueue, embeddedQueues, embedQueue, type QueueCall, queueApi } from "@quayside/edge";
import { expectTypeOf } from "vitest";
import * as z from "zod";

interface Env {
  readonly MAIL_KEY: string;
  readonly SHOP: DurableObjectNamespace<Shop>;
}

const jobs = defineJobs({
  receipt: { input: z.object({ order: z.string(), lines: z.array(z.string()).default([]) }) },
  ping: {},
});

class Shop extends DurableObject<Env> {
  // Handlers get what the schema makes of the payload, and the env that was given.
  readonly mail = embedQueue(this.ctx, {
    env: this.env,
    jobs,
    handlers: {
      receipt: ({ order, lines }, { env, job, signal }) => {
        expectTypeOf(order).toEqualTypeOf<string>();
        expectTypeOf(lines).toEqualTypeOf<string[]>();
        expectTypeOf(env).toEqualTypeOf<Env>();
        expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
        expectTypeOf(job.payload.order).toEqualTypeOf<string>();
      },
      // @ts-expect-error no job has this name
      fax: () => {},
    },
  });

  queues(...call: QueueCall) {
    return this.mail.call(...call);
  }

  override alarm(): Promise<void> {
    return this.mail.alarm(({ retryCount, isRetry, scheduledTime }) => {
      expectTypeOf([retryCount, scheduledTime]).toEqualTypeOf<number[]>();
      expectTypeOf(isRetry).toEqualTypeOf<boolean>();
    });
  }

  async add(): Promise<void> {
    // At once: an id, and no promise. What the schema has a default for may be left out.
    expectTypeOf(this.mail.addJobSync("receipt", { order: "1" }, { delay: "1m" })).toExtend<string>();
    expectTypeOf(this.mail.addJobsSync([{ name: "receipt", payload: { order: "1" }, priority: 1 }])).toExtend<
      readonly string[]
    >();
    // @ts-expect-error `order` is missing
    this.mail.addJobSync("receipt", {});
    // @ts-expect-error no job has this name
    this.mail.addJobSync("fax", {});
    // @ts-expect-error there is no such option
    this.mail.addJobSync("receipt", { order: "1" }, { later: true });
    await this.mail.addJob("receipt", { order: "1" });
    this.mail.on("job:receipt", ({ lines }, { env }) => {
      expectTypeOf(lines).toEqualTypeOf<string[]>();
      expectTypeOf(env).toEqualTypeOf<Env>();
    });
    this.mail.on("completed", ({ job, durationMs }) => {
      expectTypeOf(job).toEqualTypeOf<JobRecord>();
      expectTypeOf(durationMs).toEqualTypeOf<number>();
    });
    expectTypeOf(this.mail.queue("bulk")).toEqualTypeOf(this.mail);
    this.mail.setAlarm(new Date());
    expectTypeOf(this.mail.getAlarm()).toEqualTypeOf<number | null>();
    // @ts-expect-error an instant is ms since epoch or a Date
    this.mail.setAlarm("1m");
  }
}

export class Typed extends DurableObject<Env> {
  // A job map of types alone; without `env` handlers are promised none.
  readonly mail = embedQueue<{ receipt: { order: string } }>(this.ctx, {
    handlers: {
      receipt: ({ order }, { env }) => {
        expectTypeOf(order).toEqualTypeOf<string>();
        expectTypeOf(env).toBeUnknown();
      },
    },
  });
}

export async function produce(env: Env): Promise<void> {
  const queue = edgeQueue(embeddedQueues(env.SHOP), "default", { jobs, object: "shop-1" });
  await queue.addJob("receipt", { order: "1" });
  // @ts-expect-error `order` is missing
  await queue.addJob("receipt", {});
  queueApi({ object: ({ SHOP }: Env) => embeddedQueues(SHOP, "queues") });
}
