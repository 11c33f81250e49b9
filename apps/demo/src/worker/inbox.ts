import { DurableObject } from "cloudflare:workers";
import type { Mail } from "../jobs.ts";
import type { Env } from "./env.ts";

const KEPT = 100;

/** The inbox that all mail of the demo is delivered to. */
export class Inbox extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.storage.sql.exec(`CREATE TABLE IF NOT EXISTS mail (
      id TEXT PRIMARY KEY, recipient TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL,
      deliveredAt INTEGER NOT NULL, arrivals INTEGER NOT NULL
    ) WITHOUT ROWID`);
  }

  /** Once for each id, however often it comes. */
  deliver({ id, to, subject, body }: Pick<Mail, "id" | "to" | "subject" | "body">): void {
    const { sql } = this.ctx.storage;
    sql.exec(
      `INSERT INTO mail VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT (id) DO UPDATE SET arrivals = arrivals + 1`,
      id,
      to,
      subject,
      body,
      Date.now(),
    );
    sql.exec(`DELETE FROM mail WHERE id NOT IN (SELECT id FROM mail ORDER BY deliveredAt DESC, id LIMIT ${KEPT})`);
  }

  /** The newest first. */
  list(): Mail[] {
    const rows = this.ctx.storage.sql.exec<Mail & Record<string, SqlStorageValue>>(
      `SELECT id, recipient AS "to", subject, body, deliveredAt, arrivals FROM mail ORDER BY deliveredAt DESC, id LIMIT 50`,
    );
    return rows.toArray();
  }
}
