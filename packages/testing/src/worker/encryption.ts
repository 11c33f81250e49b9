import { defineJobs, type JobDefinition, type Queue, RetryAfterError, type StandardSchema } from "@quayside/core";
import { atRest, encryptedQueue, encryption, rejected, SECRET } from "./encrypted-queue.ts";
import { QUEUE, topic } from "./support.ts";

const MINUTE_MS = 60_000;

/** Creates a schema that accepts a value or returns an issue. */
const schema = (issueOf: (value: unknown) => string | undefined): StandardSchema => ({
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => {
      const message = issueOf(value);
      return message === undefined ? { value } : { issues: [{ message }] };
    },
  },
});

/** Creates a schema that accepts a payload when the job is added, and refuses it when it runs. */
const changed = (): StandardSchema => {
  let checks = 0;
  return schema((value) => (++checks > 1 ? `not ${value}` : undefined));
};

/** Ways in which the payload could get into other fields of the job's record. */
const SPEAKERS: readonly (readonly [string, () => Record<string, JobDefinition>, (mail: Queue) => void])[] = [
  ["what a schema says of the payload", () => ({ pay: { input: changed() } }), (mail) => mail.on("job:pay", () => 1)],
  [
    "what a schema says of the result",
    () => ({ pay: { output: schema((value) => `not ${value}`) } }),
    (mail) => mail.on("job:pay", (payload) => payload),
  ],
  [
    "a result that middleware made",
    () => ({ pay: {} }),
    (mail) => {
      mail.use(async (ctx, next) => [await next(), ctx.job.payload]);
      mail.on("job:pay", () => 1);
    },
  ],
  [
    "the reason of ctx.fail",
    () => ({ pay: {} }),
    (mail) => mail.on("job:pay", (payload, ctx) => ctx.fail(String(payload))),
  ],
  [
    "the reason of a ctx.fail whose error the handler catches",
    () => ({ pay: {} }),
    (mail) =>
      mail.on("job:pay", (payload, ctx) => {
        try {
          ctx.fail(String(payload));
        } catch {}
      }),
  ],
  [
    "the message of a RetryAfterError",
    () => ({ pay: { maxAttempts: 2 } }),
    (mail) =>
      mail.on("job:pay", (payload) => {
        throw new RetryAfterError("1h", String(payload));
      }),
  ],
  [
    "the name of an error",
    () => ({ pay: {} }),
    (mail) =>
      mail.on("job:pay", (payload) => {
        throw Object.assign(new Error("no"), { name: String(payload) });
      }),
  ],
];

/** Test cases about the parts of a job that are stored encrypted, and their readers. */
export const encryptionCases = topic("encryption", (it) => {
  it("R36: keeps payload, result, progress and logs encrypted, and who has the key reads them", async (scene) => {
    const { expect, driver } = scene;
    const mail = encryptedQueue(scene);
    mail.on("job:pay", (payload, ctx) => {
      const { card } = payload as { card: string };
      ctx.progress({ card });
      ctx.log(`card ${card}`);
      ctx.log(`again ${card}`);
      return { card };
    });
    const id = await mail.addJob("pay", { card: SECRET });
    await mail.drain();
    expect(await atRest(driver, id)).not.toContain(SECRET);
    expect(await driver.get(QUEUE, id)).toMatchObject({ state: "completed", sealed: true });
    const open = {
      sealed: true,
      payload: { card: SECRET },
      result: { card: SECRET },
      progress: { card: SECRET },
      logs: [`card ${SECRET}`, `again ${SECRET}`],
    };
    expect(await mail.get(id)).toMatchObject(open);
    expect((await mail.list()).jobs).toMatchObject([open]);
    expect(await mail.waitFor(id)).toEqual({ card: SECRET });
    expect(await rejected(scene.queue().waitFor(id))).toMatchObject({ code: "missing_key" });
  });

  it("R36: keeps message and stack of an error encrypted, also between attempts, and its code in the clear", async (scene) => {
    const { expect, driver } = scene;
    const mail = encryptedQueue(scene);
    const stored: string[] = [];
    const thrown: unknown[] = [];
    mail.on("failed", ({ error }) => thrown.push(error));
    mail.on("job:pay", async (_, ctx) => {
      stored.push(await atRest(driver, ctx.id));
      const error = new TypeError(`no such card: ${SECRET}`);
      // Not every engine begins a stack with the message.
      error.stack = `${error.message} at ${error.stack}`;
      throw error;
    });
    const id = await mail.addJob("pay", null, { maxAttempts: 2 });
    await mail.drain();
    for (const text of [...stored, await atRest(driver, id)]) expect(text).not.toContain(SECRET);
    expect(await driver.get(QUEUE, id)).toMatchObject({ state: "failed", error: { code: "handler_failed" } });
    const { error } = (await mail.get(id)) ?? {};
    expect(error).toMatchObject({ code: "handler_failed", name: "TypeError", message: `no such card: ${SECRET}` });
    expect(error?.stack).toContain(SECRET);
    expect(await rejected(mail.waitFor(id))).toMatchObject({ message: `no such card: ${SECRET}` });
    expect(thrown[0]).toMatchObject({ name: "TypeError" });
  });

  for (const [what, jobs, start] of SPEAKERS) {
    it(`R36: keeps ${what} encrypted`, async (scene) => {
      const { expect, driver } = scene;
      const mail = scene.queue({ encryption, defaults: { encrypted: true, maxAttempts: 1 }, jobs: defineJobs(jobs()) });
      start(mail);
      const id = await mail.addJob("pay", SECRET);
      await mail.drain();
      expect(await atRest(driver, id)).not.toContain(SECRET);
      expect(JSON.stringify(await mail.get(id)).split(SECRET).length).toBeGreaterThan(2);
    });
  }

  it("R36: events of an encrypted job carry its logs, progress and result encrypted", async (scene) => {
    const { expect } = scene;
    const mail = encryptedQueue(scene);
    const told: string[] = [];
    for (const event of ["log", "progress", "completed"] as const)
      mail.on(event, (said: object) => void told.push(`${event} ${JSON.stringify(said)}`));
    mail.on("job:pay", (_, ctx) => {
      ctx.log(SECRET);
      ctx.progress(SECRET);
      return SECRET;
    });
    await mail.addJob("pay", SECRET);
    await mail.drain();
    expect(told.map((text) => text.split(" ")[0]).sort()).toEqual(["completed", "log", "progress"]);
    expect(told.join()).not.toContain(SECRET);
  });

  it("R36: an error of an encrypted job decides by itself when it is tried again", async (scene) => {
    const { expect, advance } = scene;
    const mail = encryptedQueue(scene);
    mail.on("job:pay", (kind, ctx) => {
      if (kind === "final") ctx.fail(SECRET);
      if (kind === "later" && ctx.attempt === 1) throw new RetryAfterError("5m", SECRET);
      if (kind === "again" && ctx.attempt < 3) ctx.release("1m");
    });
    const [final, later] = [await mail.addJob("pay", "final"), await mail.addJob("pay", "later")];
    await mail.drain();
    expect(await mail.get(final)).toMatchObject({
      state: "failed",
      attempts: 1,
      error: { code: "unrecoverable", message: SECRET },
    });
    expect(await mail.get(later)).toMatchObject({ state: "delayed", attempts: 1 });
    await advance(5 * MINUTE_MS);
    await mail.drain();
    expect(await mail.get(later)).toMatchObject({ state: "completed", attempts: 2 });
  });

  it("R36: update and replace keep payload and flag together", async (scene) => {
    const { expect, driver } = scene;
    const mail = encryptedQueue(scene);
    const seen: unknown[] = [];
    mail.on("job:pay", (payload) => seen.push(payload));
    const key = { key: "a", mode: "replace" } as const;
    const id = await mail.addJob("pay", 1, { dedupe: key, delay: "1m" });
    await mail.update(id, { payload: SECRET });
    expect(await atRest(driver, id)).not.toContain(SECRET);
    expect(await mail.get(id)).toMatchObject({ payload: SECRET, sealed: true });
    await mail.addJob("pay", "plain", { dedupe: key, encrypted: false });
    expect((await driver.get(QUEUE, id))?.sealed).toBe(undefined);
    expect(await driver.get(QUEUE, id)).toMatchObject({ payload: "plain" });
    await mail.addJob("pay", SECRET, { dedupe: key });
    expect(await mail.get(id)).toMatchObject({ payload: SECRET, sealed: true });
    await mail.update(id, { priority: 5, delay: 0 });
    await mail.drain();
    expect(seen).toEqual([SECRET]);
  });

  it("R36: an encrypted child's result is read by its parent, encrypted or not", async (scene) => {
    const { expect, driver } = scene;
    const mail = encryptedQueue(scene);
    mail.on("job:child", () => SECRET);
    mail.on("job:broken", () => {
      throw new Error(SECRET);
    });
    mail.on("job:parent", (_, ctx) => ctx.children());
    for (const encrypted of [true, false]) {
      const { id } = await mail.addFlow({
        name: "parent",
        payload: null,
        encrypted,
        children: [
          { name: "child", payload: null },
          { name: "broken", payload: null, maxAttempts: 1, onFailure: "ignore" },
        ],
      });
      await mail.drain();
      const outcomes = (await mail.waitFor(id)) as readonly { name: string }[];
      expect([...outcomes].sort((a, b) => a.name.localeCompare(b.name))).toMatchObject([
        { name: "broken", error: { message: SECRET } },
        { name: "child", result: SECRET },
      ]);
      if (encrypted) expect(await atRest(driver, id)).not.toContain(SECRET);
    }
  });

  it("R36: the occurrences of an encrypted schedule run, and setting it again changes nothing", async (scene) => {
    const { expect, advance, driver } = scene;
    const mail = encryptedQueue(scene);
    const seen: unknown[] = [];
    mail.on("job:pay", (payload) => seen.push(payload));
    const set = () => mail.schedule("daily", { every: "1m", name: "pay", payload: { card: SECRET } });
    await set();
    const [before] = await driver.schedules(QUEUE);
    await set();
    const [after] = await driver.schedules(QUEUE);
    expect(after).toEqual(before);
    expect(JSON.stringify(after)).not.toContain(SECRET);
    expect(await mail.schedules()).toMatchObject([{ payload: { card: SECRET }, sealed: true }]);
    await advance(MINUTE_MS);
    await mail.drain();
    expect(seen).toEqual([{ card: SECRET }]);
  });

  it("R36: progress and results of an encrypted job are bounded so that their envelopes fit", async (scene) => {
    const { expect } = scene;
    const mail = encryptedQueue(scene);
    const codes: unknown[] = [];
    mail.on("job:pay", (payload, ctx) => {
      const size = payload as number;
      try {
        ctx.progress("x".repeat(size));
      } catch (error) {
        codes.push((error as { code?: string | undefined }).code);
      }
      ctx.log("y".repeat(10_000));
      return "x".repeat(size);
    });
    const [fits, over] = [await mail.addJob("pay", 97_000), await mail.addJob("pay", 100_000)];
    await mail.drain({ concurrency: 1 });
    expect(codes).toEqual(["result_too_large"]);
    expect(await mail.waitFor(fits)).toHaveLength(97_000);
    expect((await mail.get(fits))?.logs).toEqual([`${"y".repeat(2_039)}… (cut)`]);
    expect(await mail.get(over)).toMatchObject({ state: "failed", attempts: 1, error: { code: "result_too_large" } });
  });
});
