import { Agent } from "agents";
import { batchesOf, type Contestant, type Payload, pause, payloadOf, type Rows, runs } from "./contestant.ts";

interface Meter {
  /** What was read and written so far. */
  rows(): Rows;
  /** Runs a statement that is not counted. */
  exec(statement: string): readonly unknown[];
}

/** Counts what an object does of what is billed by the row. Call it before anybody uses the storage. */
function meter({ storage }: DurableObjectState): Meter {
  const { sql } = storage;
  // A cursor is only counted once it has been read.
  const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
  const exec = sql.exec.bind(sql);
  const setAlarm = storage.setAlarm.bind(storage);
  let [read, written] = [0, 0];
  sql.exec = ((...call: Parameters<typeof exec>) => {
    const cursor = exec(...call);
    cursors.push(cursor);
    return cursor;
  }) as typeof exec;
  storage.setAlarm = (...call) => {
    written++;
    return setAlarm(...call);
  };
  return {
    rows() {
      for (const cursor of cursors.splice(0)) {
        read += cursor.rowsRead;
        written += cursor.rowsWritten;
      }
      return { read, written };
    },
    exec: (statement) => exec(statement).toArray(),
  };
}

export class AgentQueue extends Agent<Cloudflare.Env> implements Contestant {
  readonly #meter: Meter;
  #open: () => void = () => {};
  #waiting = 0;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    const metered = meter(ctx);
    super(ctx, env);
    this.#meter = metered;
  }

  /** Takes one at a time; there is nothing that takes more. Due in an hour, for `queue()` would work them meanwhile. */
  async add(jobs: number, batch: number): Promise<void> {
    if (batch > 1) throw new Error("The Agents SDK adds one by one.");
    for (const [payload] of batchesOf(jobs, 1)) await this.schedule(3_600, "email", payload);
  }

  async push(jobs: number): Promise<void> {
    for (const [payload] of batchesOf(jobs, 1)) await this.queue("email", payload);
  }

  /** It works one after the other: the first holds up the rest. */
  async fill(jobs: number): Promise<void> {
    const held = runs.next(1);
    await this.queue("gate", null);
    await held;
    this.#waiting = jobs;
    await this.push(jobs);
  }

  async work(): Promise<void> {
    const all = runs.next(this.#waiting);
    this.#open();
    await all;
    await this.#settled();
  }

  async startOne(): Promise<void> {
    const started = runs.next(1);
    await this.queue("slow", payloadOf(0));
    await started;
  }

  rows(jobs: number): Promise<Rows> {
    return this.#counted(async () => {
      const all = runs.next(jobs);
      await this.push(jobs);
      await all;
    });
  }

  /** Due in a second, the least that it takes. */
  rowsDelayed(jobs: number): Promise<Rows> {
    return this.#counted(async () => {
      const all = runs.next(jobs);
      for (const [payload] of batchesOf(jobs, 1)) await this.schedule(1, "email", payload);
      await all;
    });
  }

  async #counted(work: () => Promise<unknown>): Promise<Rows> {
    const before = this.#meter.rows();
    await work();
    await this.#settled();
    const after = this.#meter.rows();
    return { read: after.read - before.read, written: after.written - before.written };
  }

  email(_payload?: Payload): void {
    runs.run();
  }

  async slow(): Promise<void> {
    runs.run();
    await pause(5);
  }

  async gate(): Promise<void> {
    const opened = new Promise<void>((resolve) => {
      this.#open = resolve;
    });
    runs.run();
    await opened;
  }

  /** Asked past the meter: the benchmark's own looks are not its rows. */
  async #settled(): Promise<void> {
    while (this.#meter.exec("SELECT 1 FROM cf_agents_jobs LIMIT 1").length > 0) await pause(1);
  }
}
