import { systemClock } from "@quayside/core";
import { bearerTokens, durableQueue, queueApi } from "@quayside/edge";
import { Hono } from "hono";
import { Handlers, type Jobs, KINDS, type Payload, QUEUE } from "../actors.ts";
import type { Note, Sink } from "../notes.ts";

interface Env {
  readonly SOAK_QUEUE: DurableObjectNamespace<SoakQueue>;
}

/** Settings that the soak makes; lost with the process, and made again when it starts. */
export interface Control {
  /** Where notes are posted. Until it is known, handlers wait. */
  readonly sink: string;
  /** Number of objects that have ended. The label of an object's worker has this number from the object's start. */
  readonly object: number;
  /** How far the object's clock is ahead of the system's, in ms. */
  readonly offsetMs: number;
  /** No transaction may make the database larger. */
  readonly full: boolean;
}

let control: Control = { sink: "", object: 0, offsetMs: 0, full: false };
let known: () => void = () => {};
const sinkKnown = new Promise<void>((resolve) => {
  known = resolve;
});

const clock = { ...systemClock, now: () => Date.now() + control.offsetMs };

/**
 * Posts what is noted meanwhile in one request, and resolves when it was kept. An object that cannot reach its ledger
 * does nothing more.
 */
function posting(): Sink {
  let waiting: { readonly notes: Note[]; readonly kept: Promise<void> } | undefined;
  let last: Promise<unknown> = Promise.resolve();
  return (...notes) => {
    if (!waiting) {
      const batch: Note[] = [];
      const kept = last.then(async () => {
        await sinkKnown;
        waiting = undefined;
        const response = await fetch(control.sink, { method: "POST", body: JSON.stringify(batch) });
        if (!response.ok) throw new Error(`The ledger answered ${response.status}.`);
        await response.body?.cancel();
      });
      last = kept.catch(() => {});
      waiting = { notes: batch, kept };
    }
    waiting.notes.push(...notes);
    return waiting.kept;
  };
}

/** Alarms by the object's clock: the platform's alarm is set to the instant at which that clock shows theirs. */
function mapAlarms(ctx: DurableObjectState) {
  const { storage } = ctx;
  const set = storage.setAlarm.bind(storage);
  const get = storage.getAlarm.bind(storage);
  storage.setAlarm = (instant, options) => set(Number(instant) - control.offsetMs, options);
  storage.getAlarm = async (options) => {
    const instant = await get(options);
    return instant === null ? null : instant + control.offsetMs;
  };
  return { set, get };
}

/** A disk on which the database may not grow while `full` is set. */
function mapDisk({ storage }: DurableObjectState): void {
  const transact = storage.transactionSync.bind(storage);
  storage.transactionSync = (run) =>
    transact(() => {
      const before = storage.sql.databaseSize;
      const result = run();
      if (control.full && storage.sql.databaseSize > before) throw new Error("database or disk is full: SQLITE_FULL");
      return result;
    });
}

/** The handlers of the object that runs now. There is one queue, so there is one object in this process. */
let handlers: Promise<Handlers>;

/** Creates the handlers of an object that starts. */
async function startHandlers(): Promise<Handlers> {
  await sinkKnown;
  const label = `object ${control.object}.${crypto.randomUUID().slice(0, 8)}`;
  return new Handlers({ sink: posting(), random: Math.random, clock }, label);
}

const handle = async (payload: Payload, ctx: Parameters<Handlers["job"]>[1]) => (await handlers).job(payload, ctx);

export class SoakQueue extends durableQueue<Jobs, Env>({
  clock: () => clock,
  lease: "3s",
  concurrency: 500,
  onError: () => {},
  handlers: {
    ...(Object.fromEntries(KINDS.map((kind) => [kind, handle])) as Record<(typeof KINDS)[number], typeof handle>),
    tick: async () => (await handlers).tick(),
  },
}) {
  readonly #alarms: ReturnType<typeof mapAlarms>;

  constructor(ctx: DurableObjectState, env: Env) {
    const alarms = mapAlarms(ctx);
    mapDisk(ctx);
    handlers = startHandlers();
    super(ctx, env);
    this.#alarms = alarms;
  }

  /** Moves the object's clock, and its alarm with it, as the clock of the platform would. */
  async control(next: Control): Promise<void> {
    const instant = await this.#alarms.get();
    const at = instant === null ? undefined : instant + control.offsetMs;
    control = next;
    known();
    if (at !== undefined) await this.#alarms.set(at - next.offsetMs);
  }

  die(): void {
    this.ctx.abort("The soak ends this object.");
  }
}

const app = new Hono<{ Bindings: Env }>();
app.post("/control", async (c) => {
  await c.env.SOAK_QUEUE.getByName(QUEUE).control(await c.req.json<Control>());
  return c.body(null, 204);
});
app.post("/die", async (c) => {
  await Promise.resolve(c.env.SOAK_QUEUE.getByName(QUEUE).die()).catch(() => {});
  return c.body(null, 204);
});
const auth = bearerTokens({ token: { subject: "soak", scopes: ["enqueue", "work", "admin"] } });
app.route("/queues", queueApi({ object: (env: Env) => env.SOAK_QUEUE, auth }));

export default app;
