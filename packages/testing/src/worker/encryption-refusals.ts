import { encryptedQueue, rejected, SECRET } from "./encrypted-queue.ts";
import { gather, QUEUE, topic, wrap } from "./support.ts";

const HOUR_MS = 3_600_000;

/** Test cases about envelopes that were swapped, plain values in encrypted jobs, and missing keys. */
export const encryptionRefusalCases = topic("encryption", (it) => {
  for (const [what, payload] of Object.entries({
    "plain text": SECRET,
    null: null,
    "an envelope without a key": { "quayside:sealed": 1 },
    "an envelope that is no base64": { "quayside:sealed": 1, key: "k1", iv: "!", data: "!" },
    "an envelope of a later version": { "quayside:sealed": 2, key: "k1", iv: "", data: "" },
  })) {
    it(`R36: refuses ${what} in place of an envelope, for good`, async (scene) => {
      const { expect, driver } = scene;
      const mail = encryptedQueue(scene);
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
      for (const mail of [encryptedQueue(scene), queue()]) {
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

  it("R36: refuses a plain result in place of an encrypted one", async (scene) => {
    const { expect, driver } = scene;
    const swapping = wrap(driver, {
      exchange: (request) =>
        driver.exchange({
          ...request,
          settle: request.settle.map((one) => (one.outcome === "completed" ? { ...one, result: '"forged"' } : one)),
        }),
    });
    const mail = encryptedQueue(scene, swapping);
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
    const mail = encryptedQueue(scene, swapping);
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
    const id = await encryptedQueue(scene).addJob("pay", SECRET, { maxAttempts: 1 });
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
    expect(faults.map(({ error }) => (error as { code?: string | undefined }).code)).toEqual(
      pauses.map(() => "missing_key"),
    );
    const mail = encryptedQueue(scene);
    mail.on("job:pay", (payload) => payload);
    await mail.drain();
    expect(await mail.get(id)).toMatchObject({ state: "completed", result: SECRET });
    expect(pauses.at(-1)).toBe(HOUR_MS / 1_000);
  });
});
