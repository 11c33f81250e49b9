import { DurableObject } from "cloudflare:workers";

export { Consumer, DispatchQueue, MortalConsumer, StillbornConsumer } from "./dispatch-queue.ts";
export { Shop } from "./embedded.ts";
export { HourQueue, HourShop } from "./hour/objects.ts";
export { BareQueue, WideQueue, WorkQueue } from "./queues.ts";

/** A Durable Object that shows what the edge tests can do: SQLite storage, RPC, an alarm. */
export class SmokeObject extends DurableObject<Cloudflare.Env> {
  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, note TEXT) WITHOUT ROWID");
  }

  add(id: string, note: string): { rowsWritten: number } {
    return this.ctx.storage.transactionSync(() => {
      const cursor = this.ctx.storage.sql.exec("INSERT INTO notes VALUES (?, ?)", id, note);
      return { rowsWritten: cursor.rowsWritten };
    });
  }

  notes(): string[] {
    return [...this.ctx.storage.sql.exec<{ note: string }>("SELECT note FROM notes ORDER BY id")].map(
      (row) => row.note,
    );
  }

  async alarmIn(delayMs: number): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + delayMs);
  }

  override async alarm(): Promise<void> {
    this.add(`alarm-${crypto.randomUUID()}`, "alarm ran");
  }
}

export default {
  async fetch(): Promise<Response> {
    return new Response("ok");
  },
} satisfies ExportedHandler<Cloudflare.Env>;
