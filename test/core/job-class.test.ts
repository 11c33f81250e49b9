import { type HandlerContext, Job, type JobRecord, QueueManager } from "@quayside/core";
import { beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { rejection, scene } from "./support.ts";

const calls: unknown[] = [];

class SendWelcomeEmail extends Job<{ userId: string }> {
  static jobName = "send-welcome-email";
  static queueName = "emails";
  static options = { maxAttempts: 2, backoff: ["1s", "10s"], tags: ["mail"] } as const;

  async handle({ userId }: { userId: string }, ctx: HandlerContext) {
    calls.push([userId, ctx.attempt]);
    if (userId === "nobody") throw new Error("no such user");
    return `welcomed ${userId}`;
  }

  failed(error: unknown, job: JobRecord) {
    calls.push(["failed", (error as Error).message, job.id]);
  }

  shouldQueue({ userId }: { userId: string }) {
    return userId !== "now";
  }
}

/** As in the third document: it brings its own fields, and knows how to store and restore them. */
class SendEmail extends Job<{ to: string; subject: string }> {
  static jobName = "send-email";
  readonly to: string;
  readonly subject: string;

  constructor(to: string, subject: string) {
    super();
    this.to = to;
    this.subject = subject;
  }

  handle() {
    calls.push([this.to, this.subject]);
  }

  toJSON() {
    return { to: this.to, subject: this.subject };
  }

  static fromJSON({ to, subject }: { to: string; subject: string }) {
    return new SendEmail(to, subject);
  }
}

class Plain extends Job<number> {
  static jobName = "plain";
  handle(payload: number) {
    calls.push(payload === this.payload ? payload : "another");
  }
}

beforeEach(() => {
  calls.length = 0;
});

function managed() {
  const { driver, clock } = scene();
  return { clock, driver, manager: new QueueManager({ driver, clock }) };
}

describe("a job class", () => {
  it("is dispatched by itself once it is registered, with its options, and runs on a fresh instance", async () => {
    const { manager } = managed();
    manager.register(SendWelcomeEmail, Plain);
    const id = await SendWelcomeEmail.dispatch({ userId: "ada" }, { priority: 4 });
    expect(await manager.queue("emails").get(id)).toMatchObject({
      name: "send-welcome-email",
      payload: { userId: "ada" },
      priority: 4,
      maxAttempts: 2,
      tags: ["mail"],
    });
    await Plain.dispatch(7);
    await manager.drain();
    expect(calls).toEqual(expect.arrayContaining([["ada", 1], 7]));
    expect(await manager.queue("emails").get(id)).toMatchObject({ result: "welcomed ada" });
  });

  it("dispatchBatch adds many at once", async () => {
    const { manager } = managed();
    manager.register(SendWelcomeEmail);
    const ids = await SendWelcomeEmail.dispatchBatch([{ userId: "1" }, { userId: "2" }], {
      delay: "5m",
      queue: "later",
    });
    expect(ids).toHaveLength(2);
    expect(await manager.delayedSize("later")).toBe(2);
  });

  it("failed runs once, when the job has failed for good", async () => {
    const { manager, clock } = managed();
    manager.register(SendWelcomeEmail);
    const id = await SendWelcomeEmail.dispatch({ userId: "nobody" });
    await manager.drain();
    await clock.advance(1_000);
    await manager.drain();
    expect(calls).toEqual([
      ["nobody", 1],
      ["nobody", 2],
      ["failed", "no such user", id],
    ]);
  });

  it("shouldQueue false: it runs where it is dispatched", async () => {
    const { manager } = managed();
    manager.register(SendWelcomeEmail);
    await SendWelcomeEmail.dispatch({ userId: "now" });
    expect(calls).toEqual([["now", 1]]);
    expect(await manager.size("emails")).toBe(0);
  });

  it("an instance is dispatched, registering its class, and is restored from what its toJSON gave", async () => {
    const { manager } = managed();
    await manager.dispatch(new SendEmail("ada", "Welcome"), { tags: ["x"] });
    await manager.dispatchBatch([new SendEmail("bob", "Hi"), new Plain(3)]);
    expect(manager.has("send-email")).toBe(true);
    await manager.drain();
    expect(calls).toEqual(expect.arrayContaining([["ada", "Welcome"], ["bob", "Hi"], 3]));
  });

  it("is found by name: has, get, all, make; unregister takes it out", async () => {
    const { manager } = managed();
    manager.register(SendEmail, Plain);
    manager.register(SendEmail);
    expect([manager.has("plain"), manager.get("plain"), [...manager.all().keys()]]).toEqual([
      true,
      Plain,
      ["send-email", "plain"],
    ]);
    expect(manager.make("send-email", { to: "ada", subject: "x" })).toMatchObject({ to: "ada" });
    expect(manager.unregister("plain")).toBe(true);
    expect(manager.unregister("plain")).toBe(false);
    expect([manager.has("plain"), manager.get("plain")]).toEqual([false, undefined]);
    expect(() => manager.make("plain", 1)).toThrow(/plain/);
    expect(await rejection(Plain.dispatch(1))).toMatchObject({ message: expect.stringContaining("Plain") });
  });

  it("goes to the manager that registered it last", async () => {
    const first = managed().manager;
    const second = managed().manager;
    first.register(Plain);
    second.register(Plain);
    await Plain.dispatch(1);
    expect([await first.size(), await second.size()]).toEqual([0, 1]);
  });

  it("without a manager, a name, or a way back from JSON says so, naming the class", async () => {
    const { manager } = managed();
    class Unknown extends Job<number> {
      static jobName = "unknown";
      handle() {}
    }
    expect(await rejection(Unknown.dispatch(1))).toMatchObject({
      code: "unknown_job",
      message: expect.stringContaining("manager.register(Unknown)"),
    });
    class Nameless extends Job {
      handle() {}
    }
    // @ts-expect-error it has no jobName
    expect(() => manager.register(Nameless)).toThrow(/Nameless needs a static jobName/);
    class OneWay extends Job {
      static jobName = "one-way";
      handle() {}
      toJSON() {
        return {};
      }
    }
    expect(() => manager.register(OneWay)).toThrow(/OneWay has toJSON\(\), so it needs a static fromJSON/);
    class Twin extends Job<number> {
      static jobName = "plain";
      handle() {}
    }
    manager.register(Plain);
    expect(() => manager.register(Twin)).toThrow(/"plain"/);
  });

  it("may have middleware, a function as backoff and retryIf of its own", async () => {
    const { manager, clock } = managed();
    class Fancy extends Job<number> {
      static jobName = "fancy";
      static middleware = [
        async (ctx: HandlerContext, next: () => Promise<unknown>) => {
          calls.push(`before ${ctx.name}`);
          return next();
        },
      ];
      static options = {
        maxAttempts: 9,
        backoff: (attempt: number) => attempt * 1_000,
        retryIf: (_: unknown, attempt: number) => attempt < 2,
      };
      handle() {
        throw new Error("no");
      }
    }
    manager.register(Fancy);
    const id = await Fancy.dispatch(1);
    await manager.drain();
    expect(await manager.queue().get(id)).toMatchObject({ state: "delayed", availableAt: clock.now() + 1_000 });
    await clock.advance(1_000);
    await manager.drain();
    expect(await manager.queue().get(id)).toMatchObject({ state: "failed", attempts: 2 });
    expect(calls).toEqual(["before fancy", "before fancy"]);
  });

  it("may have its hooks as fields", async () => {
    const { manager } = managed();
    class Fields extends Job<{ now: boolean }> {
      static jobName = "fields";
      static options = { maxAttempts: 1 };
      handle = ({ now }: { now: boolean }) => {
        calls.push(now);
        if (!now) throw new Error("later");
      };
      failed = (error: unknown) => void calls.push(error);
      shouldQueue = ({ now }: { now: boolean }) => !now;
    }
    manager.register(Fields);
    await Fields.dispatch({ now: true });
    expect(calls).toEqual([true]);
    await Fields.dispatch({ now: false });
    await manager.drain();
    expect(calls).toEqual([true, false, new Error("later")]);
  });

  it("needs fromJSON if its constructor takes something else than the payload", async () => {
    const { manager } = managed();
    class Two extends Job<{ to: string; subject: string }> {
      static jobName = "two";
      constructor(to: string, subject: string) {
        super({ to, subject });
      }
      handle() {}
    }
    expect(() => manager.register(Two)).toThrow(/constructor of job class Two must call super\(payload\)/);
    class Wrapped extends Job<{ to: string }> {
      static jobName = "wrapped";
      constructor(to: string) {
        super({ to });
      }
      handle() {}
    }
    expect(await rejection(manager.dispatch(new Wrapped("ada")))).toMatchObject({
      code: "invalid_option",
      message: expect.stringContaining("job class Wrapped"),
    });
    expect(await manager.size()).toBe(0);
  });

  it("without hooks, is not asked whether to be stored where its constructor does not take the payload", async () => {
    const { manager } = managed();
    class Converted extends Job<{ at: Date }> {
      static jobName = "converted";
      static options = {
        input: z.object({ at: z.coerce.date() }),
      };
      readonly year: number;
      constructor(payload: { at: Date }) {
        super(payload);
        this.year = payload.at.getFullYear();
      }
      handle() {
        calls.push(this.year);
      }
    }
    manager.register(Converted);
    await manager.enqueue({ name: "converted", payload: { at: "2026-06-01T00:00:00Z" } });
    await manager.drain();
    expect(calls).toEqual([2026]);
  });
});
