import { Queue } from "@quayside/core";
import { embeddedQueues, type QueueNamespace, queueStub, StubDriver } from "@quayside/edge";
import type { Having, HourActs, HourJobs } from "./objects.ts";
import { type Timeline, timelineOf } from "./timeline.ts";

export const MINUTE_MS = 60_000;

/** An object without timers is put out of memory when it has been idle for so long (Cloudflare: ten seconds). */
const IDLE_MS = 10_000;

/** An object that waits for time arms no further timer for so many looks at it. */
const LOOKS = 3;

/** The cost of some time of an object. */
export interface Spent {
  /** Alarms that rang, and calls from outside: each is a request, and wakes an object that sleeps. */
  readonly wakes: number;
  /** Alarms that were set are rows, too. */
  readonly rowsWritten: number;
  readonly rowsRead: number;
  /** Seconds in which the object could not sleep: an alarm or a call went on, or a timer was armed. */
  readonly awake: number;
}

/** Where the objects of simulated hours are. */
export interface HourWorld {
  /** Of the class `HourQueue`. */
  readonly queues: QueueNamespace;
  /** Of the class `HourShop`. */
  readonly shops: QueueNamespace;
  /** Puts an object out of memory, as the platform does with one that is idle; its sockets stay open. */
  readonly evict: (object: DurableObjectStub, hasSockets: boolean) => Promise<void>;
}

export interface HourStub extends Fetcher {
  act<Name extends keyof HourActs>(name: Name): ReturnType<HourActs[Name]>;
  endAt(at: number): Promise<void>;
  queues(verb: "events"): Promise<ReadableStream<Uint8Array>>;
}

/** A state of an object; its hour begins with the last call of `prepare`. */
export interface HourCase {
  readonly prepare: (world: HourWorld) => Promise<HourObject>;
  /** Minutes that are counted; the result is multiplied up to an hour. Default 60. */
  readonly minutes?: number;
  /** Takes long to simulate: guarded by `pnpm nightly`. */
  readonly slow?: true;
}

/** The cost of an hour of it. */
export async function hourOf({ prepare, minutes = 60 }: HourCase, world: HourWorld): Promise<Spent> {
  const object = await prepare(world);
  const { wakes, rowsWritten, rowsRead, awake } = await object.spend(minutes * MINUTE_MS);
  const times = 60 / minutes;
  return { wakes: wakes * times, rowsWritten: rowsWritten * times, rowsRead: rowsRead * times, awake: awake * times };
}

let made = 0;

/** An object whose time is moved by hand, and a queue in it. */
export class HourObject {
  readonly timeline: Timeline;
  readonly name: string;
  readonly driver: StubDriver;
  readonly queue: Queue<HourJobs>;
  readonly #world: HourWorld;
  readonly #namespace: QueueNamespace;
  /** The cost of its earlier lives. */
  readonly #past = { wakes: 0, rowsWritten: 0, rowsRead: 0, awake: 0 };
  /** Lives of the object when it was put out of memory. */
  #asleep: number | undefined;
  #hasSockets = false;
  #activeAt: number;
  #alarm: number | null = null;
  /** Calls that have not been answered. */
  #calls = 0;

  constructor(world: HourWorld, having: Having, kind: "queue" | "shop" = "queue") {
    this.#world = world;
    this.#namespace = kind === "queue" ? world.queues : world.shops;
    this.name = `${having} ${++made}`;
    this.timeline = timelineOf(this.name);
    this.#activeAt = this.timeline.now;
    const counted: QueueNamespace = {
      idFromName: (name) => this.#namespace.idFromName(name),
      get: (id) => this.#counted(this.#namespace.get(id) as object),
    };
    this.driver = new StubDriver(() => queueStub(kind === "shop" ? embeddedQueues(counted) : counted, this.name), {
      clock: this.timeline.clock("caller"),
    });
    this.queue = new Queue<HourJobs>("mail", this.driver);
  }

  /** A fresh one each time: a stub is of no use any more when its object has ended. */
  get stub(): HourStub {
    return this.#namespace.get(this.#namespace.idFromName(this.name)) as HourStub;
  }

  /**
   * Opens the socket of a stream of changes, and asks every half minute whether it still leads anywhere, as those do who
   * watch. Their own questions follow the platform's clock.
   */
  async listen(): Promise<void> {
    const { webSocket: socket } = await this.stub.fetch("https://object/quayside/changes", {
      headers: { upgrade: "websocket" },
    });
    if (!socket) throw new Error("The object opened no socket.");
    this.#hasSockets = true;
    socket.accept();
    const clock = this.timeline.clock("caller");
    socket.addEventListener("message", () => void this.#calls--);
    const ask = () => {
      this.#calls++;
      socket.send("quayside:ping");
      clock.after(30_000, ask);
    };
    clock.after(30_000, ask);
  }

  /** Moves time. Timers fire, alarms ring when they are due, and the object sleeps when it could. */
  async spend(ms: number): Promise<Spent> {
    const { timeline } = this;
    await this.#rest(true);
    const before = await this.#total();
    const end = timeline.now + ms;
    let ringing: Promise<unknown> | undefined;
    while (timeline.now < end) {
      const alarmAt = ringing ? Number.POSITIVE_INFINITY : (this.#alarm ?? Number.POSITIVE_INFINITY);
      const next = Math.min(alarmAt, timeline.next("object"), timeline.next("caller"), end);
      await this.#pass(Math.max(next, timeline.now), ringing !== undefined);
      if (timeline.next("object") <= timeline.now) await this.stub.act("fire");
      let calls = this.#past.wakes;
      timeline.fire("caller");
      if (alarmAt <= timeline.now) {
        calls = ++this.#past.wakes;
        this.#touch();
        ringing = this.stub.act("ring").then(() => (ringing = undefined));
      }
      await this.#rest(calls !== this.#past.wakes, ringing);
    }
    const after = await this.#total();
    await this.#checkAsleep();
    return {
      wakes: after.wakes - before.wakes,
      rowsWritten: after.rowsWritten - before.rowsWritten,
      rowsRead: after.rowsRead - before.rowsRead,
      awake: Math.round(after.awake - before.awake),
    };
  }

  async #pass(to: number, ringing: boolean): Promise<void> {
    const { timeline } = this;
    const held = ringing || timeline.next("object") < Number.POSITIVE_INFINITY;
    if (held) this.#past.awake += (to - timeline.now) / 1_000;
    else if (this.#asleep === undefined && to - this.#activeAt > IDLE_MS) await this.#sleep();
    timeline.now = to;
  }

  /** Resolves when nothing goes on any more but what waits for time. An alarm that is over leaves nothing behind. */
  async #rest(called: boolean, ringing?: Promise<unknown>): Promise<void> {
    const { timeline } = this;
    while (this.#calls > 0) await new Promise((resolve) => setTimeout(resolve, 0));
    if (this.#asleep !== undefined) return;
    let over = !called && ringing === undefined && timeline.next("object") === Number.POSITIVE_INFINITY;
    void ringing?.then(() => (over = !called));
    for (let same = 0, { changes } = timeline; same < LOOKS && !over; same++) {
      await this.stub.act("quiet");
      if (changes !== timeline.changes) same = 0;
      changes = timeline.changes;
    }
    this.#alarm = await this.stub.act("nextAlarm");
  }

  #touch(): void {
    this.#asleep = undefined;
    this.#activeAt = this.timeline.now;
  }

  async #sleep(): Promise<void> {
    const { rowsRead, rowsWritten, alarmsSet } = await this.stub.act("used");
    this.#past.rowsRead += rowsRead;
    this.#past.rowsWritten += rowsWritten + alarmsSet;
    this.#asleep = this.timeline.lives;
    await this.#world.evict(this.stub as unknown as DurableObjectStub, this.#hasSockets);
  }

  /** One that was taken for asleep was out of memory all the time: the next call begins a new life of it. */
  async #checkAsleep(): Promise<void> {
    if (this.#asleep === undefined) return;
    await this.stub.act("nextAlarm");
    if (this.timeline.lives !== this.#asleep + 1) throw new Error(`${this.name} did not sleep, or was woken.`);
    this.#asleep = undefined;
  }

  async #total(): Promise<Spent> {
    if (this.#asleep !== undefined) return { ...this.#past };
    const { rowsRead, rowsWritten, alarmsSet } = await this.stub.act("used");
    return {
      ...this.#past,
      rowsRead: this.#past.rowsRead + rowsRead,
      rowsWritten: this.#past.rowsWritten + rowsWritten + alarmsSet,
    };
  }

  #counted(stub: object): object {
    return new Proxy(stub, {
      get:
        (target, verb) =>
        async (...given: readonly unknown[]) => {
          this.#hasSockets ||= verb === "fetch";
          this.#past.wakes++;
          this.#calls++;
          this.#touch();
          try {
            return await (target as Record<PropertyKey, (...given: readonly unknown[]) => unknown>)[verb]?.(...given);
          } finally {
            this.#calls--;
          }
        },
    });
  }
}
