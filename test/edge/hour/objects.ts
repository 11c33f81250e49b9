import { DurableObject } from "cloudflare:workers";
import {
  type DurableQueue,
  type DurableQueueOptions,
  durableQueue,
  embedQueue,
  type QueueCall,
  type Usage,
} from "@quayside/edge";
import { timelineOf } from "./timeline.ts";

export interface HourJobs {
  email: null;
  /** Has no handler in these objects. */
  fax: null;
  /** Never succeeds. */
  failing: null;
  /** Runs for so many ms. */
  long: number;
}

/** Which handlers an object has: the first word of its name. */
export type Having = "handlers" | "handlerless" | "elsewhere";

function optionsOf(ctx: DurableObjectState): DurableQueueOptions<HourJobs, unknown> {
  const name = ctx.id.name as string;
  const clock = timelineOf(name).begin();
  const [having] = name.split(" ") as [Having];
  const handlers: DurableQueueOptions<HourJobs, unknown>["handlers"] = {
    email: () => {},
    failing: () => {
      throw new Error("never");
    },
    long: (ms) => new Promise<void>((resolve) => void clock.after(ms, resolve)),
  };
  return {
    clock: () => clock,
    onError: () => {},
    ...(having !== "elsewhere" && { handlers: having === "handlers" ? handlers : {} }),
  };
}

/** The steps of a simulated hour on an object. */
export interface HourActs {
  /** When its alarm is due; null where none is set. */
  nextAlarm(): Promise<number | null>;
  /** Runs the alarm, as the platform does when it is due. */
  ring(): Promise<void>;
  /** Fires its timers that are due. */
  fire(): Promise<void>;
  /** Resolves when nothing goes on in it but what waits for a timer. */
  quiet(): Promise<void>;
  used(): Promise<Usage>;
  /** Ends this life of it. */
  abort(): Promise<void>;
  /** Ends the object, as its own class does. */
  deleteAll(): Promise<void>;
  /** Has every exchange of a worker fail that holds jobs or claims some: no lease can be written. */
  refuseLeases(): Promise<void>;
  takeLeases(): Promise<void>;
}

const actsOf = (
  ctx: DurableObjectState,
  alarm: () => Promise<void>,
  usage: () => Usage | Promise<Usage>,
): HourActs => ({
  nextAlarm: () => ctx.storage.getAlarm(),
  async ring() {
    await ctx.storage.deleteAlarm();
    await alarm();
  },
  fire: async () => timelineOf(ctx.id.name as string).fire("object"),
  async quiet() {
    await ctx.storage.sync();
    await new Promise((resolve) => setTimeout(resolve, 0));
  },
  used: async () => usage(),
  async abort() {
    await ctx.storage.sync();
    ctx.abort("asleep");
  },
  deleteAll: () => ctx.storage.deleteAll(),
  refuseLeases: async () =>
    void ctx.storage.sql.exec(
      "CREATE TRIGGER no_leases BEFORE INSERT ON quayside_leases BEGIN SELECT RAISE(ABORT, 'no leases'); END",
    ),
  takeLeases: async () => void ctx.storage.sql.exec("DROP TRIGGER no_leases"),
});

/** The class from which `durableQueue` derives: here, each object has options of its own. */
const Base = Object.getPrototypeOf(durableQueue({})) as new (
  ctx: DurableObjectState,
  env: unknown,
  options: DurableQueueOptions<HourJobs, unknown>,
) => DurableQueue;

/** A class of Quayside's. */
export class HourQueue extends Base {
  readonly #acts = actsOf(
    this.ctx,
    () => this.alarm(),
    () => this.usage(),
  );

  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env, optionsOf(ctx));
  }

  act(name: keyof HourActs) {
    return this.#acts[name]();
  }
}

/** A class of the user's, whose alarm deletes all that it stores. */
export class HourShop extends DurableObject {
  readonly #queue = embedQueue<HourJobs>(this.ctx, optionsOf(this.ctx));
  readonly #acts = actsOf(
    this.ctx,
    () => this.alarm(),
    () => this.#queue.usage(),
  );

  act(name: keyof HourActs) {
    return this.#acts[name]();
  }

  queues(...call: QueueCall) {
    return this.#queue.call(...call);
  }

  endAt(at: number): void {
    this.#queue.setAlarm(at);
  }

  override alarm(): Promise<void> {
    return this.#queue.alarm(() => this.ctx.storage.deleteAll());
  }
}
