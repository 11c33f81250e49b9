import {
  aesGcm,
  type Driver,
  defineJobs,
  type JobDefinition,
  type Queue,
  RetryAfterError,
  type StandardSchema,
} from "@quayside/core";
import type { NewJob } from "@quayside/core/engine";
import { gather, QUEUE, topic, type WorkerScene, wrap } from "./support.ts";

const encryption = aesGcm({ keys: { k1: new Uint8Array(32).fill(1) }, current: "k1" });
const SECRET = "4111 1111";
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

/** A queue with the key, all of whose jobs are encrypted. */
const vault = ({ queue }: Pick<WorkerScene, "queue">, driver?: Driver) =>
  queue({ encryption, defaults: { encrypted: true, backoff: 0 }, ...(driver && { driver }) });

/** The job as it is stored: without a key. */
const atRest = async (driver: Driver, id: string) => JSON.stringify(await driver.get(QUEUE, id));

/** An envelope made with the queue's own key. */
const envelope = async (payload: unknown, name = "pay"): Promise<unknown> =>
  JSON.parse((await encryption.seal({ queue: QUEUE, name, payload: JSON.stringify(payload) })).payload);

const rejected = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error as { code?: string; message: string },
  );

/** A schema that takes a value or says of it what is wrong. */
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

/** A schema that takes what it checks when a job is added, and refuses it when it runs. */
const changed = (): StandardSchema => {
  let checks = 0;
  return schema((value) => (++checks > 1 ? `not ${value}` : undefined));
};

/** Ways by which the payload gets into the job's record besides the text of its handler. */
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

/** R36: what is encrypted is so everywhere, and nothing else runs in its place. */
export const encryptionCases = topic("encryption", (it) => {
  it("R36: keeps payload, result, progress and logs encrypted, and who has the key reads them", async (scene) => {
    const { expect, driver } = scene;
    const mail = vault(scene);
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
    const mail = vault(scene);
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
    const mail = vault(scene);
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
    const mail = vault(scene);
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

  for (const [what, payload] of Object.entries({
    "plain text": SECRET,
    null: null,
    "an envelope without a key": { "quayside:sealed": 1 },
    "an envelope that is no base64": { "quayside:sealed": 1, key: "k1", iv: "!", data: "!" },
    "an envelope of a later version": { "quayside:sealed": 2, key: "k1", iv: "", data: "" },
  })) {
    it(`R36: refuses ${what} in place of an envelope, for good`, async (scene) => {
      const { expect, driver } = scene;
      const mail = vault(scene);
      const ran: unknown[] = [];
      mail.on("job:pay", (open) => ran.push(open));
      const id = await mail.addJob("pay", "mine", { delay: "1m" });
      await driver.command({
        type: "update",
        queue: QUEUE,
        id,
        payload: JSON.stringify(payload),
        sealed: true,
        delayMs: 0,
      });
      await mail.drain();
      expect(ran).toEqual([]);
      expect(await driver.get(QUEUE, id)).toMatchObject({
        state: "failed",
        attempts: 1,
        error: { code: "decryption_failed" },
      });
    });
  }

  for (const [what, payload] of Object.entries({
    "is marked as one": { "quayside:sealed": 1 },
    "names a key that is not here": { "quayside:sealed": 1, key: "other", iv: "AAAA", data: "AAAA" },
    "does not decrypt": { "quayside:sealed": 1, key: "k1", iv: "AAAAAAAAAAAAAAAA", data: "AAAA" },
    "holds anything under the mark": { "quayside:sealed": "…" },
  })) {
    it(`R36: a plain payload that looks like an envelope and ${what} is only a payload`, async (scene) => {
      const { expect, queue } = scene;
      for (const mail of [vault(scene), queue()]) {
        const ran: unknown[] = [];
        mail.on("job:pay", (open) => ran.push(open));
        const id = await mail.addJob("pay", payload, { encrypted: false });
        await mail.drain();
        expect(ran).toEqual([payload]);
        expect(await mail.get(id)).toMatchObject({ state: "completed", payload });
        await mail.stop();
      }
    });
  }

  it("R36: runs an encrypted job of the first edition, whose record does not say so, and encrypts what it leaves", async (scene) => {
    const { expect, driver } = scene;
    const job: NewJob = { queue: QUEUE, name: "pay", payload: JSON.stringify(await envelope({ card: SECRET })) };
    const [receipt] = await driver.enqueue([job]);
    const id = receipt?.id as string;
    const mail = vault(scene);
    mail.on("job:pay", (payload) => (payload as { card: string }).card);
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ state: "completed", payload: { card: SECRET }, result: SECRET });
    expect(await atRest(driver, id)).not.toContain(SECRET);
  });

  it("R36: refuses a plain result in place of an encrypted one", async (scene) => {
    const { expect, driver } = scene;
    const swapping = wrap(driver, {
      exchange: (request) =>
        driver.exchange({
          ...request,
          settle: request.settle.map((one) => (one.outcome === "completed" ? { ...one, result: '"forged"' } : one)),
        }),
    });
    const mail = vault(scene, swapping);
    mail.on("job:pay", () => "real");
    const id = await mail.addJob("pay", null);
    await mail.drain();
    expect(await rejected(mail.waitFor(id))).toMatchObject({ code: "decryption_failed" });
    expect(await mail.get(id)).not.toMatchObject({ result: "forged" });
  });

  it("R36: a result moved from one encrypted job to another is refused", async (scene) => {
    const { expect, driver } = scene;
    let other: string | undefined;
    const swapping = wrap(driver, {
      exchange: (request) =>
        driver.exchange({
          ...request,
          settle: request.settle.map((one) => {
            if (one.outcome !== "completed") return one;
            other ??= one.result;
            return other === undefined ? one : { ...one, result: other };
          }),
        }),
    });
    const mail = vault(scene, swapping);
    mail.on("job:pay", (payload) => payload);
    const first = await mail.addJob("pay", 1);
    await mail.drain();
    const second = await mail.addJob("pay", 2);
    await mail.drain();
    expect(await mail.waitFor(first)).toBe(1);
    expect(await rejected(mail.waitFor(second))).toMatchObject({ code: "decryption_failed" });
  });

  it("R36, R40: a job whose key is missing is given back uncounted, after growing pauses of at most an hour", async (scene) => {
    const { expect, advance, queue, driver } = scene;
    const id = await vault(scene).addJob("pay", SECRET, { maxAttempts: 1 });
    const keyless = queue();
    const faults = gather(keyless, "error");
    keyless.on("job:pay", () => {});
    const pauses: number[] = [];
    for (let round = 0; round < 10; round++) {
      await keyless.drain();
      const { attempts, state, availableAt } = (await driver.get(QUEUE, id)) ?? {};
      expect({ attempts, state }).toEqual({ attempts: 0, state: "delayed" });
      const pause = (availableAt as number) - scene.under.clock.now();
      pauses.push(Math.round(pause / 1_000));
      await advance(pause);
    }
    expect(pauses).toEqual([60, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
    expect(faults.map(({ error }) => (error as { code?: string }).code)).toEqual(pauses.map(() => "missing_key"));
    const mail = vault(scene);
    mail.on("job:pay", (payload) => payload);
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ state: "completed", result: SECRET });
    expect(pauses.at(-1)).toBe(HOUR_MS / 1_000);
  });

  it("R36: update and replace keep payload and flag together", async (scene) => {
    const { expect, driver } = scene;
    const mail = vault(scene);
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
    const mail = vault(scene);
    mail.on("job:child", () => SECRET);
    mail.on("job:broken", () => {
      throw new Error(SECRET);
    });
    mail.on("job:parent", (_, ctx) => ctx.children());
    for (const encrypted of [true, false]) {
      const { id } = await mail.addFlow({
        name: "parent",
        payload: null,
        options: { encrypted },
        children: [
          { name: "child", payload: null },
          { name: "broken", payload: null, options: { maxAttempts: 1 }, onFailure: "ignore" },
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
    const mail = vault(scene);
    const seen: unknown[] = [];
    mail.on("job:pay", (payload) => seen.push(payload));
    const set = () => mail.schedule("daily", { every: "1m" }, "pay", { card: SECRET });
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
    const mail = vault(scene);
    const codes: unknown[] = [];
    mail.on("job:pay", (payload, ctx) => {
      const size = payload as number;
      try {
        ctx.progress("x".repeat(size));
      } catch (error) {
        codes.push((error as { code?: string }).code);
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
