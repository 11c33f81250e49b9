import { aesGcm, memoryDriver, Queue } from "@quayside/core";
import { webhook } from "@quayside/edge/webhook";
import { expect, it } from "vitest";

const CARD = "4111 1111";
const encryption = aesGcm({ keys: { k1: new Uint8Array(32).fill(1) }, current: "k1" });

it("R36: a receiver gets an encrypted job's payload in the clear, and what it answers is stored encrypted", async () => {
  const driver = memoryDriver();
  const vault = new Queue("hooks", driver, { encryption, defaults: { encrypted: true, maxAttempts: 1 } });
  const bodies: unknown[] = [];
  const answers = [
    Response.json({ card: CARD }),
    new Response(`no such card: ${CARD}`, { status: 410 }),
    new Response(`try card ${CARD} again`, { status: 500 }),
  ];
  vault.on(
    "job:pay",
    webhook({
      url: "https://books.example/hooks",
      secrets: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
      fetch: async (_, { body }) => {
        bodies.push(JSON.parse(String(body)).data);
        return answers[bodies.length - 1] as Response;
      },
    }) as never,
  );
  const ids = await vault.addJobs(answers.map(() => ({ name: "pay", payload: { card: CARD } })));
  await vault.drain({ concurrency: 1 });
  expect(bodies).toEqual(ids.map(() => ({ card: CARD })));
  for (const id of ids) expect(JSON.stringify(await driver.get("hooks", id))).not.toContain(CARD);
  const [taken, gone, broken] = await Promise.all(ids.map((id) => vault.get(id)));
  expect(taken).toMatchObject({ state: "completed", result: { card: CARD } });
  expect(gone).toMatchObject({ state: "failed", error: { code: "unrecoverable" } });
  for (const job of [gone, broken]) expect(job?.error?.message).toContain(CARD);
});
