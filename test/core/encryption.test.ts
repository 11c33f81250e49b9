import { aesGcm, Queue, QueueManager } from "@quayside/core";
import { describe, expect, it } from "vitest";
import { mailQueue, rejection, scene } from "./support.ts";

const key = (byte: number) => new Uint8Array(32).fill(byte);
const secret = { card: "4111 1111" };

/** Queues on one store, each with its own keys. */
function vault() {
  const { driver, another, clock } = scene();
  const open = (keys: Record<string, Uint8Array<ArrayBuffer>>, current: string, which = another()) =>
    new Queue("mail", which, { clock, encryption: aesGcm({ keys, current }), defaults: { encrypted: true } });
  return { driver, another, clock, open };
}

describe("encryption", () => {
  it("keeps no payload in the clear at rest, and gives it to handler, middleware, get and list", async () => {
    const { driver, open } = vault();
    const queue = open({ k1: key(1) }, "k1");
    const seen: unknown[] = [];
    queue.use((ctx, next) => {
      seen.push(ctx.job.payload);
      return next();
    });
    queue.on("job:pay", (payload) => seen.push(payload));
    const id = await queue.addJob("pay", secret);
    expect(JSON.stringify(await driver.get("mail", id))).not.toContain("4111");
    expect(await queue.get(id)).toMatchObject({ payload: secret });
    expect((await queue.list()).jobs).toMatchObject([{ payload: secret }]);
    await queue.drain();
    expect(seen).toEqual([secret, secret]);
  });

  it("is per job, per definition or per queue; the nearest word wins", async () => {
    const { driver, open } = vault();
    const queue = open({ k1: key(1) }, "k1");
    const id = await queue.addJob("pay", secret, { encrypted: false });
    expect(await driver.get("mail", id)).toMatchObject({ payload: secret });
    const plain = mailQueue();
    expect(await rejection(plain.queue.addJob("pay", secret, { encrypted: true }))).toMatchObject({
      code: "missing_key",
    });
  });

  it("rotates: new payloads get the current key, old ones still decrypt", async () => {
    const { open, clock } = vault();
    const before = open({ k1: key(1) }, "k1");
    const old = await before.addJob("pay", secret);
    await clock.advance(1);
    const after = open({ k1: key(1), k2: key(2) }, "k2");
    const fresh = await after.addJob("pay", secret);
    const seen: unknown[] = [];
    after.on("job:pay", (payload, ctx) => seen.push([ctx.id, payload]));
    await after.drain({ concurrency: 1 });
    expect(seen).toEqual([
      [old, secret],
      [fresh, secret],
    ]);
    expect(JSON.stringify(await before.get(fresh))).toContain('"k2"');
  });

  it("a worker without the key gives the job back, not counted, and says so; one that has it runs it", async () => {
    const { open, clock } = vault();
    const id = await open({ k2: key(2) }, "k2").addJob("pay", secret, { maxAttempts: 1 });
    const lacking = open({ k1: key(1) }, "k1");
    const faults: unknown[] = [];
    lacking.on("error", ({ error }) => faults.push((error as { code: string }).code));
    lacking.on("job:pay", () => {});
    await lacking.drain();
    expect(faults).toEqual(["missing_key"]);
    expect(await lacking.get(id)).toMatchObject({ state: "delayed", attempts: 0 });
    await clock.advance(60_000);
    const having = open({ k1: key(1), k2: key(2) }, "k1");
    having.on("job:pay", (payload) => payload);
    await having.drain();
    expect(await having.get(id)).toMatchObject({ state: "completed", result: secret });
  });

  it("a worker without any keys does the same", async () => {
    const { driver, open, clock } = vault();
    const id = await open({ k1: key(1) }, "k1").addJob("pay", secret);
    const keyless = new Queue("mail", driver, { clock });
    keyless.on("error", () => {});
    keyless.on("job:pay", () => {});
    await keyless.drain();
    expect(await keyless.get(id)).toMatchObject({ state: "delayed", attempts: 0 });
  });

  it("a payload moved to another job does not decrypt: it fails for good", async () => {
    const { driver, open } = vault();
    const queue = open({ k1: key(1) }, "k1");
    const id = await queue.addJob("pay", secret, { id: "order-1" });
    const { payload } = (await driver.get("mail", id)) ?? {};
    await driver.enqueue([
      { queue: "mail", name: "refund", payload: JSON.stringify(payload), sealed: true },
      { queue: "mail", name: "pay", payload: JSON.stringify(payload), sealed: true, id: "order-2" },
    ]);
    for (const name of ["pay", "refund"]) queue.on(`job:${name}`, () => {});
    await queue.drain();
    expect(await queue.get("order-1")).toMatchObject({ state: "completed" });
    expect(await queue.get("order-2")).toMatchObject({
      state: "failed",
      attempts: 1,
      error: { code: "decryption_failed" },
    });
    expect(await queue.counts()).toMatchObject({ completed: 1, failed: 2 });
  });

  it("stays encrypted when it is updated or replaced", async () => {
    const { driver, open } = vault();
    const queue = open({ k1: key(1) }, "k1");
    const id = await queue.addJob("pay", secret, { dedupe: { key: "a", mode: "replace" } });
    await queue.addJob("pay", { card: "4222" }, { dedupe: { key: "a", mode: "replace" }, id: "mine" });
    expect(await queue.get(id)).toMatchObject({ payload: { card: "4222" } });
    await queue.update(id, { payload: { card: "4333" } });
    expect(JSON.stringify(await driver.get("mail", id))).not.toContain("4333");
    expect(await queue.get(id)).toMatchObject({ payload: { card: "4333" } });
  });

  it("takes CryptoKeys, works in a manager, and refuses keys that cannot be", async () => {
    const { driver, clock } = scene();
    const imported = await crypto.subtle.importKey("raw", key(7), "AES-GCM", false, ["encrypt", "decrypt"]);
    const manager = new QueueManager({ driver, clock, encryption: aesGcm({ keys: { k: imported }, current: "k" }) });
    manager.registerJob({ name: "pay", encrypted: true, handler: (payload) => payload });
    const id = await manager.enqueue({ name: "pay", payload: "x".repeat(50_000) });
    await manager.drain();
    expect((await manager.queue().get(id))?.result).toHaveLength(50_000);
    expect(() => aesGcm({ keys: { k: key(1) }, current: "other" })).toThrow(/other/);
    expect(() => aesGcm({ keys: { k: new Uint8Array(5) }, current: "k" })).toThrow(/16, 24 or 32/);
  });
});
