import {
  createExecutionContext,
  createMessageBatch,
  createScheduledController,
  getQueueResult,
  type MessageBatchMessage,
  reset,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { aesGcm } from "@quayside/core";
import { edgeQueue, fromQueueBatch, fromScheduled, type QueueBatchOptions } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { jobs } from "./queues.ts";

afterEach(reset);

let opened = 0;
/** A queue whose jobs wait for an hour, so that what was added can be looked at. */
function open() {
  const name = `bridge-${opened++}`;
  const queue = edgeQueue<typeof jobs>(env.WORK_QUEUE, name, { jobs, defaults: { delay: "1h" } });
  return { name, queue, object: env.WORK_QUEUE.getByName(name), ids: async () => idsOf(await queue.list()) };
}
const idsOf = ({ jobs: listed }: { readonly jobs: readonly { readonly id: string }[] }) =>
  listed.map(({ id }) => id).sort();

const message = (id: string, body: unknown, attempts = 1): MessageBatchMessage => ({
  id,
  body,
  attempts,
  timestamp: new Date(),
});
const email = (to: string) => ({ name: "email", payload: { to } });

type Options = QueueBatchOptions<typeof jobs, unknown>;

/** What becomes of the messages of one delivery. */
async function deliver(queue: ReturnType<typeof open>["queue"], messages: MessageBatchMessage[], options?: Options) {
  const batch = createMessageBatch("mail", messages);
  // The emulation does not say with what delay.
  const spies = batch.messages.map((one) => ({ id: one.id, retry: vi.spyOn(one, "retry") }));
  const ctx = createExecutionContext();
  const result = await fromQueueBatch(batch, queue, options);
  const { explicitAcks, retryMessages } = await getQueueResult(batch, ctx);
  const delays = Object.fromEntries(spies.map(({ id, retry }) => [id, retry.mock.lastCall?.[0]?.delaySeconds]));
  const retries = retryMessages.map(({ msgId }) => ({ msgId, delaySeconds: delays[msgId] }));
  return { ...result, acked: explicitAcks, retries };
}

describe("a batch of Cloudflare Queues", () => {
  it("becomes jobs in one transaction, with its messages' ids, and each message is acknowledged", async () => {
    const { queue, object, ids } = open();
    const before = await object.usage();
    const transactions = vi.spyOn(queue.driver, "enqueue");
    const names = Array.from({ length: 100 }, (_, n) => `m-${n}`);
    const told = await deliver(
      queue,
      names.map((id, n) => message(id, email(`u${n}@example.com`))),
    );
    expect(told).toMatchObject({ added: 100, invalid: 0, retried: 0, retries: [] });
    expect(told.acked.sort()).toEqual([...names].sort());
    expect(await ids()).toEqual([...names].sort());
    expect(transactions).toHaveBeenCalledTimes(1);
    // A job, its id, and that its message was here; once, when lapsed records are next searched.
    expect((await object.usage()).rowsWritten - before.rowsWritten).toBe(301);
  });

  it("that is delivered again adds nothing twice, and is acknowledged", async () => {
    const { queue, ids } = open();
    await deliver(queue, [message("a", email("a@b.example"))]);
    const told = await deliver(queue, [message("a", email("a@b.example"), 2), message("b", email("b@b.example"))]);
    expect(told).toMatchObject({ added: 2, acked: ["a", "b"] });
    expect(await ids()).toEqual(["a", "b"]);
  });

  it("that is delivered again when its jobs have ended and are forgotten adds nothing", async () => {
    const { name, queue } = open();
    const prompt = edgeQueue<typeof jobs>(env.WORK_QUEUE, name, { jobs });
    await queue.configure({ keep: { completed: 0 } });
    await deliver(prompt, [message("gone", email("a@b.example"))]);
    await vi.waitFor(async () => expect(await queue.get("gone")).toBeUndefined(), { timeout: 5_000 });
    expect(await deliver(queue, [message("gone", email("a@b.example"), 2)])).toMatchObject({ acked: ["gone"] });
    expect(await queue.size()).toBe(0);
    // Without that memory the queue knows of a message what it knows of its job.
    await deliver(queue, [message("other", email("a@b.example"))], { rememberFor: 0 });
    await queue.remove("other");
    await deliver(queue, [message("other", email("a@b.example"), 2)], { rememberFor: 0 });
    expect(await queue.size()).toBe(1);
  });

  it("takes its jobs from `job`, which may pass a message over by null and say an id of its own", async () => {
    const { queue, ids } = open();
    const told = await deliver(queue, [message("a", { mail: "a@b.example" }), message("b", "noise")], {
      job: (body) =>
        body === "noise"
          ? null
          : { name: "email", payload: { to: (body as { mail: string }).mail }, id: "own", priority: 5 },
    });
    expect(told).toMatchObject({ added: 1, skipped: 1, acked: ["a", "b"], retries: [] });
    expect(await ids()).toEqual(["own"]);
    expect(await queue.get("own")).toMatchObject({ priority: 5, payload: { to: "a@b.example" } });
  });

  it("adds what is a job although other messages are none: these are logged, and delivered again", async () => {
    const { queue, ids } = open();
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const told = await deliver(queue, [
      message("text", "hello", 3),
      message("good", email("a@b.example")),
      message("payload", { name: "email", payload: { to: "nobody" } }),
      message("name", { name: "fax", payload: null }),
      message("option", { ...email("a@b.example"), priority: 1_000 }),
    ]);
    const logged = log.mock.calls.map(([line]) => String(line));
    log.mockRestore();
    expect(told).toMatchObject({ added: 1, invalid: 4, retried: 0, acked: ["good"] });
    expect(told.retries.map(({ msgId, delaySeconds }) => [msgId, delaySeconds]).sort()).toEqual([
      ["name", 10],
      ["option", 10],
      ["payload", 10],
      ["text", 10],
    ]);
    expect(logged).toContain("Message text cannot become a job (delivery 3).");
    expect(await ids()).toEqual(["good"]);
  });

  it.each<[string, unknown, string]>([
    ["undefined", undefined, "return a job, or null for a message that means none"],
    ["false", false, "an object with name and payload"],
    ["a name", "email", "an object with name and payload"],
    ["a promise", Promise.resolve(email("a@b.example")), "return the job at once"],
    ["an object without a name", {}, "There is no job undefined"],
    ["a list", [email("a@b.example")], "There is no job undefined"],
  ])("acknowledges nothing where `job` answers %s", async (_, answer, hint) => {
    const { queue } = open();
    const errors: unknown[] = [];
    const told = await deliver(queue, [message("a", "text"), message("b", "text")], {
      job: () => answer as never,
      onInvalid: (_, error) => {
        errors.push(error);
        return "retry";
      },
    });
    expect(told).toMatchObject({ added: 0, skipped: 0, invalid: 2, acked: [] });
    expect(told.retries.map(({ msgId }) => msgId).sort()).toEqual(["a", "b"]);
    expect(String(errors[0])).toContain(hint);
    expect(await queue.size()).toBe(0);
  });

  it("settles each message although onInvalid or onError throws", async () => {
    const { queue, ids } = open();
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const errors: unknown[] = [];
    const fails = (word: string) => () => {
      throw new Error(word);
    };
    const messages = [message("bad", "text"), message("good", email("a@b.example"))];
    const told = await deliver(queue, messages, {
      onInvalid: fails("no verdict"),
      onError: (error) => errors.push(error),
    });
    expect(told).toMatchObject({ added: 1, invalid: 1, acked: ["good"], retries: [{ msgId: "bad" }] });
    expect(errors).toEqual([new Error("no verdict")]);
    expect(await ids()).toEqual(["good"]);
    vi.spyOn(queue.driver, "enqueue").mockRejectedValue(new Error("no storage"));
    const again = await deliver(queue, [message("c", email("a@b.example"))], { onError: fails("no report") });
    expect(again).toMatchObject({ retried: 1, acked: [], retries: [{ msgId: "c" }] });
    expect(log).toHaveBeenCalledWith(new Error("no report"), new Error("no storage"));
    log.mockRestore();
  });

  it("is refused at once with a retryDelay that Cloudflare Queues does not take", async () => {
    const { queue } = open();
    for (const retryDelay of ["25h", Number.NaN] as const)
      await expect(deliver(queue, [message("a", email("a@b.example"))], { retryDelay })).rejects.toMatchObject({
        code: "invalid_option",
        details: { option: "retryDelay" },
      });
    expect(await queue.size()).toBe(0);
  });

  it("lets onInvalid decide, and tells it what was wrong", async () => {
    const { queue } = open();
    const told: unknown[] = [];
    const options: Options = {
      job: (body) => {
        if (body === "broken") throw new RangeError("no such thing");
        return body as never;
      },
      onInvalid: ({ id }, error) => {
        told.push([id, (error as { code?: string }).code]);
        return id === "drop" ? "ack" : "retry";
      },
    };
    const result = await deliver(queue, [message("drop", { name: "fax" }), message("keep", "broken")], options);
    expect(result).toMatchObject({ added: 0, invalid: 2, acked: ["drop"] });
    expect(result.retries).toMatchObject([{ msgId: "keep" }]);
    expect(told.sort()).toEqual([
      ["drop", "unknown_job"],
      ["keep", "bad_request"],
    ]);
  });

  it("is delivered again, and nothing acknowledged, when the jobs could not be stored", async () => {
    const { queue } = open();
    vi.spyOn(queue.driver, "enqueue").mockRejectedValue(new Error("no storage"));
    const errors: unknown[] = [];
    const told = await deliver(queue, [message("a", email("a@b.example")), message("b", email("b@b.example"))], {
      retryDelay: "90s",
      onError: (error) => errors.push(error),
    });
    expect(told).toMatchObject({ added: 0, retried: 2, acked: [] });
    expect(told.retries).toMatchObject([
      { msgId: "a", delaySeconds: 90 },
      { msgId: "b", delaySeconds: 90 },
    ]);
    expect(errors).toHaveLength(2);
  });
});

describe("a cron trigger", () => {
  const at = (cron: string, minute: number) =>
    createScheduledController({ cron, scheduledTime: Date.UTC(2026, 0, 1, 3, minute) });

  it("adds its jobs once for each rule and instant, however often it fires", async () => {
    const { queue, ids } = open();
    const job = { name: "email", payload: { to: "a@b.example" } } as const;
    const first = await fromScheduled(at("0 3 * * *", 0), queue, job);
    expect(await fromScheduled(at("0 3 * * *", 0), queue, job)).toEqual(first);
    expect(first).toEqual([expect.stringMatching(/^cron 0 3 \* \* \* 2026-01-01T03:00:00\.000Z email [0-9a-f]{8}$/)]);
    expect(await ids()).toEqual(first);
    await fromScheduled(at("*/5 * * * *", 0), queue, job);
    await fromScheduled(at("*/5 * * * *", 5), queue, job);
    expect(await ids()).toHaveLength(3);
  });

  it("may add several, also of one name, together or not at all", async () => {
    const { queue, ids } = open();
    const to = (address: string) => ({ name: "email" as const, payload: { to: address } });
    const added = await fromScheduled(at("0 3 * * *", 0), queue, [to("a@b.example"), to("c@d.example")]);
    expect(new Set(added).size).toBe(2);
    await fromScheduled(at("0 3 * * *", 0), queue, [to("a@b.example"), to("c@d.example")]);
    expect(await ids()).toHaveLength(2);
    await expect(fromScheduled(at("0 3 * * *", 1), queue, [to("a@b.example"), to("nobody")])).rejects.toMatchObject({
      code: "invalid_payload",
    });
    expect(await ids()).toHaveLength(2);
  });

  it("refuses another payload under the same name in another call, and says so; the same jobs again it takes", async () => {
    const { queue, ids } = open();
    const trigger = at("0 3 * * *", 0);
    const to = (address: string) => ({ name: "email" as const, payload: { to: address } });
    const first = await fromScheduled(trigger, queue, [to("a@b.example"), to("c@d.example")]);
    const conflict = { code: "conflict", details: { job: "email" } };
    for (const jobs of [
      to("e@f.example"),
      [to("a@b.example"), to("e@f.example")],
      [to("c@d.example"), to("a@b.example")],
    ]) {
      const refusal = await fromScheduled(trigger, queue, jobs).catch((error: unknown) => error);
      expect(refusal).toMatchObject(conflict);
      expect(String(refusal)).toContain("Pass all jobs of one name in one call, or give each an id");
    }
    expect(await fromScheduled(trigger, queue, to("a@b.example"))).toEqual(first.slice(0, 1));
    expect(await ids()).toHaveLength(2);
    // Ids of their own, as its message says; and a dedupe key of its own does not hide the drop.
    for (const id of ["own", "other"]) await fromScheduled(trigger, queue, { ...to("e@f.example"), id });
    expect(await ids()).toHaveLength(4);
    const keyed = (address: string) => fromScheduled(trigger, queue, { ...to(address), dedupe: { key: "own" } });
    await keyed("g@h.example");
    await expect(keyed("i@j.example")).rejects.toMatchObject(conflict);
    expect(await ids()).toHaveLength(5);
  });

  it("compares encrypted payloads in the clear, and leaves alone what it has no key for", async () => {
    const { name, queue } = open();
    const keys = (byte: number) =>
      aesGcm({ keys: { [`k${byte}`]: new Uint8Array(32).fill(byte) }, current: `k${byte}` });
    const vault = (byte: number) =>
      edgeQueue<typeof jobs>(env.WORK_QUEUE, name, {
        jobs,
        encryption: keys(byte),
        defaults: { encrypted: true, delay: "1h" },
      });
    const to = (address: string) => ({ name: "email" as const, payload: { to: address } });
    const trigger = at("0 3 * * *", 0);
    const ids = await fromScheduled(trigger, vault(1), to("a@b.example"));
    expect(await fromScheduled(trigger, vault(1), to("a@b.example"))).toEqual(ids);
    await expect(fromScheduled(trigger, vault(1), to("c@d.example"))).rejects.toMatchObject({ code: "conflict" });
    expect(await fromScheduled(trigger, vault(2), to("a@b.example"))).toEqual(ids);
    expect(await queue.size()).toBe(1);
  });

  it("refuses another payload also when the job before has ended and is gone", async () => {
    const { name, queue } = open();
    await queue.configure({ keep: { completed: 0 } });
    const prompt = edgeQueue<typeof jobs>(env.WORK_QUEUE, name, { jobs });
    const to = (address: string) => ({ name: "email" as const, payload: { to: address } });
    const [id = ""] = await fromScheduled(at("0 3 * * *", 0), prompt, to("a@b.example"));
    await vi.waitFor(async () => expect(await queue.get(id)).toBeUndefined(), { timeout: 5_000 });
    const again = fromScheduled(at("0 3 * * *", 0), queue, to("c@d.example"));
    await expect(again).rejects.toMatchObject({ code: "conflict", details: { id, job: "email" } });
    expect(await fromScheduled(at("0 3 * * *", 0), queue, to("a@b.example"))).toEqual([id]);
    expect(await queue.size()).toBe(0);
  });

  it("refuses a payload that it cannot compare, because the job before was encrypted and is gone", async () => {
    const { name } = open();
    const encryption = aesGcm({ keys: { a: new Uint8Array(32).fill(1) }, current: "a" });
    const vault = edgeQueue<typeof jobs>(env.WORK_QUEUE, name, {
      jobs,
      encryption,
      defaults: { encrypted: true, delay: "1h" },
    });
    const to = (address: string) => ({ name: "email" as const, payload: { to: address } });
    const [id = ""] = await fromScheduled(at("0 3 * * *", 0), vault, to("a@b.example"));
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode('{"to":"a@b.example"}'));
    const mark = [...new Uint8Array(digest)]
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join("")
      .slice(0, 8);
    expect(id).not.toContain(mark);
    await vault.remove(id);
    const again = fromScheduled(at("0 3 * * *", 0), vault, to("c@d.example"));
    await expect(again).rejects.toMatchObject({ code: "conflict", details: { id } });
    expect(await vault.size()).toBe(0);
  });

  it("takes two jobs whose names and numbers join to one text", async () => {
    const { queue, ids } = open();
    const email = { name: "email" as const, payload: { to: "a@b.example" } };
    await fromScheduled(at("0 3 * * *", 0), queue, [email, email, { ...email, id: "2" }]);
    expect(await ids()).toHaveLength(3);
  });

  it("that fires again when its job has ended and is forgotten adds nothing", async () => {
    const { name, queue } = open();
    await queue.configure({ keep: { completed: 0 } });
    const job = { name: "email", payload: { to: "a@b.example" } } as const;
    const [id] = await fromScheduled(at("0 3 * * *", 0), edgeQueue<typeof jobs>(env.WORK_QUEUE, name, { jobs }), job);
    await vi.waitFor(async () => expect(await queue.get(id as string)).toBeUndefined(), { timeout: 5_000 });
    await fromScheduled(at("0 3 * * *", 0), queue, job);
    expect(await queue.size()).toBe(0);
  });
});
