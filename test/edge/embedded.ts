import { DurableObject } from "cloudflare:workers";
import { defineJobs } from "@quayside/core";
import { embedQueue, type QueueCall } from "@quayside/edge";
import * as z from "zod";

export const shopJobs = defineJobs({
  receipt: { input: z.object({ order: z.string() }), backoff: 20 },
  /** Its schema asks somebody else. */
  checked: { input: z.object({ order: z.string() }).refine(async () => true) },
  sleep: { input: z.object({ ms: z.number() }) },
  /** Has no handler but those that tests add. */
  plain: { input: z.object({ order: z.string() }) },
  /** Runs where it is added. */
  here: { input: z.object({ order: z.string() }), shouldQueue: () => false },
});

/** What the alarms of these objects do, by their names: tests say. */
export const onAlarm = new Map<string, (shop: Shop, retryCount: number) => unknown>();

/** How many alarms go on, and have begun. */
export const alarms = { running: 0, rung: 0 };

/** What went wrong beside the jobs. */
export const faults: unknown[] = [];

/** Somebody's own Durable Object, with rows of its own and a queue beside them. */
export class Shop extends DurableObject<Cloudflare.Env> {
  readonly mail = embedQueue(this.ctx, {
    env: this.env,
    jobs: shopJobs,
    handlers: {
      receipt: async ({ order }, { env, id }) => void (await env.SMOKE.getByName("receipts").add(id, order)),
      here: async ({ order }, { env, id }) => void (await env.SMOKE.getByName("receipts").add(id, order)),
      sleep: ({ ms }, { signal }) =>
        new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, ms);
          signal.addEventListener("abort", () => {
            clearTimeout(timer);
            resolve();
          });
        }),
    },
    onError: (error) => void faults.push(error),
  });

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY) WITHOUT ROWID");
  }

  queues(...call: QueueCall) {
    return this.mail.call(...call);
  }

  get storage(): DurableObjectStorage {
    return this.ctx.storage;
  }

  insert(order: string): void {
    this.ctx.storage.sql.exec("INSERT INTO orders VALUES (?)", order);
  }

  orders(): readonly string[] {
    return [...this.ctx.storage.sql.exec<{ id: string }>("SELECT id FROM orders ORDER BY id")].map(({ id }) => id);
  }

  override async alarm(): Promise<void> {
    alarms.running++;
    alarms.rung++;
    try {
      await this.mail.alarm(({ retryCount }) => onAlarm.get(this.ctx.id.name ?? "")?.(this, retryCount));
    } finally {
      alarms.running--;
    }
  }
}
