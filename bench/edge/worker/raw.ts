import { DurableObject } from "cloudflare:workers";
import { batchesOf, type Contestant, type Payload, pause, type Rows, runs } from "./contestant.ts";

/** Runs the handler, which gets its payload as any handler does. */
async function handle({ record }: Row): Promise<void> {
  JSON.parse((JSON.parse(record) as { payload: string }).payload);
  runs.run();
}

const CLAIM = 100;
const QUEUE = "bench";

interface Row {
  readonly at: number;
  readonly order: number;
  readonly record: string;
}

/**
 * The least SQL that could be a queue, on tables like ours: an insert, one lease row a batch, a range delete. No checks,
 * no retries, no fences, no alarm; what it claimed is not on disk before it runs, and a crash would have it forgotten.
 */
export class RawQueue extends DurableObject<Cloudflare.Env> implements Contestant {
  readonly #sql: SqlStorage;
  #order = 0;
  #rows: Rows = { read: 0, written: 0 };

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(`CREATE TABLE IF NOT EXISTS jobs (place TEXT NOT NULL, lane TEXT NOT NULL, rank INTEGER NOT NULL,
      at INTEGER NOT NULL, "order" INTEGER NOT NULL, tag TEXT NOT NULL, record TEXT NOT NULL,
      PRIMARY KEY (place, lane, rank, at, "order", tag)) WITHOUT ROWID`);
    this.#sql.exec("CREATE TABLE IF NOT EXISTS leases (worker TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID");
  }

  async add(jobs: number, batch: number): Promise<void> {
    for (const payloads of batchesOf(jobs, batch)) await this.insert(payloads);
  }

  /** One transaction. Answers the ids. */
  async insert(payloads: readonly Payload[]): Promise<readonly string[]> {
    const at = Date.now();
    const rows = payloads.map((payload) => {
      const id = `${at.toString(36)}-${(++this.#order).toString(36)}`;
      const record = JSON.stringify({
        id,
        queue: QUEUE,
        name: "email",
        payload: JSON.stringify(payload),
        priority: 0,
        addedAt: at,
        availableAt: at,
      });
      return { id, row: ["ready", QUEUE, 0, at, this.#order, "tagtagta", record] as const };
    });
    if (rows.length === 1) this.#exec("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)", ...(rows[0]?.row ?? []));
    else
      this.#exec(
        `INSERT INTO jobs SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
          FROM json_each(?)`,
        JSON.stringify(rows.map(({ row }) => row)),
      );
    return rows.map(({ id }) => id);
  }

  async fill(jobs: number): Promise<void> {
    await this.add(jobs, 1_000);
  }

  async work(): Promise<void> {
    for (let last: Row | undefined; ; ) {
      const claimed = this.#claim(last);
      if (claimed.length === 0) return;
      await Promise.all(claimed.map(handle));
      last = claimed.at(-1);
    }
  }

  async startOne(): Promise<void> {
    const started = runs.next(1);
    await this.add(1, 1);
    const [job] = this.#claim(undefined);
    // Here too the claim is on disk before its handler starts.
    await this.ctx.storage.sync();
    runs.run();
    await started;
    void pause(5).then(() => this.#claim(job));
  }

  async rows(jobs: number, batch: number): Promise<Rows> {
    const { read, written } = this.#rows;
    await this.add(jobs, batch);
    await this.work();
    return { read: this.#rows.read - read, written: this.#rows.written - written };
  }

  async exchanges(jobs: number): Promise<void> {
    let last: Row | undefined;
    for (let left = jobs; left > 0; left -= CLAIM) last = this.#claim(last).at(-1);
    this.#claim(last, 0);
  }

  /** What ended goes, and the next are read, in one transaction. */
  #claim(done: Row | undefined, limit = CLAIM): readonly Row[] {
    return this.ctx.storage.transactionSync(() => {
      if (done)
        this.#exec(
          `DELETE FROM jobs WHERE place = 'ready' AND lane = ? AND rank = 0 AND (at, "order") <= (?, ?)`,
          QUEUE,
          done.at,
          done.order,
        );
      const rows = this.#exec(
        `SELECT at, "order", record FROM jobs WHERE place = 'ready' AND lane = ? AND rank = 0 AND at <= ?
          ORDER BY at, "order" LIMIT ?`,
        QUEUE,
        Date.now(),
        limit,
      ) as unknown as Row[];
      this.#exec("INSERT OR REPLACE INTO leases VALUES ('raw', ?)", JSON.stringify(rows.map(({ order }) => order)));
      return rows;
    });
  }

  #exec(statement: string, ...bindings: SqlStorageValue[]): Record<string, SqlStorageValue>[] {
    const cursor = this.#sql.exec(statement, ...bindings);
    const rows = cursor.toArray();
    this.#rows = { read: this.#rows.read + cursor.rowsRead, written: this.#rows.written + cursor.rowsWritten };
    return rows;
  }
}
