import {
  aesGcm,
  type JobOptions,
  type Queue,
  type QueueOptions,
  RetryAfterError,
  UnrecoverableError,
} from "@quayside/core";
import { drain } from "@quayside/testing";
import { attacks, odd, outcome, type Room, said } from "./kit.ts";

const keys = { a: new Uint8Array(32).fill(7) };
const encryption = aesGcm({ keys, current: "a" });
const SECRET = "hunter2";

const sealed = (room: Room, options: QueueOptions = {}): Queue =>
  room.open("vault", { encryption, defaults: { encrypted: true, maxAttempts: 2, backoff: "1s" }, ...options });

/** Whether the secret stands anywhere in what the driver shows of a queue. */
async function shown({ driver }: Room, queue = "vault"): Promise<string> {
  const text = JSON.stringify([await driver.list({ queue }), await driver.schedules(queue)]);
  return text.includes(SECRET) ? `in the clear: ${text.slice(Math.max(0, text.indexOf(SECRET) - 60))}` : "sealed";
}

attacks("R36: what is stored of an encrypted job", (row) => {
  const thrown: readonly (readonly [input: string, came: string, handler: Parameters<Room["ends"]>[0]])[] = [
    [
      "an error",
      "sealed; failed handler_failed: hunter2 (2 runs)",
      () => {
        throw new Error(SECRET);
      },
    ],
    [
      "a text",
      "sealed; failed handler_failed: hunter2 (2 runs)",
      () => {
        throw SECRET;
      },
    ],
    [
      "an object",
      'sealed; failed handler_failed: {"message":"hunter2","code":"hunter2"} (2 runs)',
      () => {
        throw { message: SECRET, code: SECRET };
      },
    ],
    [
      "an error named so",
      "sealed; failed handler_failed: x (2 runs)",
      () => {
        throw Object.assign(new Error("x"), { name: SECRET });
      },
    ],
    [
      "an error with a cause",
      "sealed; failed handler_failed: x (2 runs)",
      () => {
        throw new Error("x", { cause: new Error(SECRET) });
      },
    ],
    [
      "an error with details",
      "sealed; failed handler_failed: x (2 runs)",
      () => {
        throw Object.assign(new Error("x"), { details: { a: SECRET } });
      },
    ],
    [
      "an error whose code is the secret",
      "sealed; failed handler_failed: x (2 runs)",
      () => {
        throw Object.assign(new Error("x"), { code: SECRET });
      },
    ],
    [
      "an AggregateError",
      "sealed; failed handler_failed: x (2 runs)",
      () => {
        throw new AggregateError([new Error(SECRET)], "x");
      },
    ],
    [
      "RetryAfterError",
      "sealed; failed retry_after: hunter2 (2 runs)",
      () => {
        throw new RetryAfterError("1s", SECRET);
      },
    ],
    [
      "UnrecoverableError",
      "sealed; failed unrecoverable: hunter2 (1 runs)",
      () => {
        throw new UnrecoverableError(SECRET);
      },
    ],
    ["ctx.fail", "sealed; failed unrecoverable: hunter2 (1 runs)", (_, ctx) => ctx.fail(SECRET)],
    ["ctx.fail of an error", "sealed; failed unrecoverable: hunter2 (1 runs)", (_, ctx) => ctx.fail(new Error(SECRET))],
    [
      "ctx.release of no duration",
      "sealed; failed invalid_option: release must be a duration from 0 to 100 (2 runs)",
      (_, ctx) => ctx.release(odd(SECRET)),
    ],
    [
      "ctx.progress of what JSON cannot hold",
      "sealed; failed invalid_option: progress.hunter2 is a function, which JS (2 runs)",
      (_, ctx) => ctx.progress(odd({ [SECRET]: () => 1 })),
    ],
    [
      "a result that JSON cannot hold",
      "sealed; failed invalid_result: result.hunter2 is a function, which JSON (1 runs)",
      () => ({ [SECRET]: () => 1 }),
    ],
    [
      "a result that is too large",
      "sealed; failed result_too_large: The result is 140002 bytes of JSON; at m (1 runs)",
      () => SECRET.repeat(20_000),
    ],
    [
      "a log of many lines",
      "sealed; completed (1 runs)",
      (_, ctx) => {
        for (let line = 0; line < 150; line++) ctx.log(SECRET);
      },
    ],
    ["a progress", "sealed; completed (1 runs)", (_, ctx) => ctx.progress({ a: SECRET })],
    ["a result", "sealed; completed (1 runs)", () => ({ a: SECRET })],
    [
      "ctx.enqueue with a payload JSON cannot hold",
      "sealed; failed invalid_payload: payload.hunter2 is a function, which JSO (1 runs)",
      (_, ctx) => ctx.enqueue({ name: "odd", payload: { [SECRET]: () => 1 } }),
    ],
    [
      "ctx.enqueue of a name that is too long",
      "sealed; failed invalid_option: job name must be a string of 1 to 256 ch (2 runs)",
      (_, ctx) => ctx.enqueue({ name: SECRET.repeat(100), payload: 1 }),
    ],
  ];
  for (const [input, came, handler] of thrown)
    row(input, came, async (room) => {
      const queue = sealed(room);
      let runs = 0;
      queue.on("job:odd", (payload, ctx) => {
        runs++;
        return handler(payload, ctx);
      });
      const id = await queue.addJob("odd", { password: SECRET });
      await drain(queue, { clock: room.clock });
      const job = await queue.get(id);
      const named = job?.error ? ` ${job.error.code}: ${job.error.message.slice(0, 40)}` : "";
      return `${await shown(room)}; ${job?.state}${named} (${runs} runs)`;
    });

  const adds: readonly (readonly [input: string, came: string, options: JobOptions])[] = [
    ["with a delay", 'sealed; {"affected":1,"state":"delayed"}; ran with hunter2 two', { delay: "1h" }],
    [
      "with a key that is replaced",
      'sealed; {"affected":1,"state":"delayed"}; ran with hunter2 two',
      { delay: "1h", dedupe: { key: "k", mode: "replace" } },
    ],
    [
      "with an id of its own",
      'sealed; {"affected":1,"state":"delayed"}; ran with hunter2 two',
      { delay: "1h", id: "own" },
    ],
    [
      "that is not to be encrypted",
      'in the clear; {"affected":1,"state":"delayed"}; ran with hunter2 two',
      { delay: "1h", encrypted: false },
    ],
  ];
  for (const [input, came, options] of adds)
    row(`a job ${input} is updated`, came, async (room) => {
      const queue = sealed(room);
      const seen: unknown[] = [];
      queue.on("job:odd", (payload) => void seen.push(payload));
      const id = await queue.addJob("odd", `${SECRET} one`, options);
      const reply = await outcome(() => queue.update(id, { payload: `${SECRET} two` }));
      const before = (await shown(room)) === "sealed" ? "sealed" : "in the clear";
      await drain(queue, { clock: room.clock });
      return `${before}; ${reply}; ran with ${seen.join(", ")}`;
    });
  row(
    "a plain job that has logged and failed is replaced by an encrypted one",
    'completed, ["of 1","of 2"], handlers saw [[],["of 1"]]',
    async (room) => {
      const queue = sealed(room);
      const lines: unknown[] = [];
      queue.on("job:odd", (payload, ctx) => {
        ctx.log(`of ${payload}`);
        lines.push(ctx.job.logs);
        if (payload === 1) throw new Error("no");
      });
      const options: JobOptions = { dedupe: { key: "k", mode: "replace" }, maxAttempts: 3 };
      const id = await queue.addJob("odd", 1, { ...options, encrypted: false });
      await queue.drain();
      await queue.addJob("odd", 2, options);
      await drain(queue, { clock: room.clock });
      const job = await queue.get(id);
      return `${job?.state}, ${said(job?.logs)}, handlers saw ${said(lines)}`;
    },
  );
  row(
    "an encrypted job that has logged and failed is replaced by a plain one",
    'completed, ["of 1","of 2"], no',
    async (room) => {
      const queue = sealed(room);
      queue.on("job:odd", (payload, ctx) => {
        ctx.log(`of ${payload}`);
        if (payload === 1) throw new Error("no");
      });
      const options: JobOptions = { dedupe: { key: "k", mode: "replace" }, maxAttempts: 3 };
      const id = await queue.addJob("odd", 1, options);
      await queue.drain();
      await queue.addJob("odd", 2, { ...options, encrypted: false });
      await drain(queue, { clock: room.clock });
      const job = await queue.get(id);
      return `${job?.state}, ${said(job?.logs)}, ${job?.error?.message}`;
    },
  );
  row(
    "a recurrence, set again three times",
    'sealed; [{"b":1,"a":"hunter2"},{"b":1,"a":"hunter2"}]; 120 min',
    async (room) => {
      const queue = sealed(room);
      const seen: unknown[] = [];
      queue.on("job:odd", (payload) => void seen.push(payload));
      const set = () => queue.schedule("k", { every: "1h", limit: 2, name: "odd", payload: { b: 1, a: SECRET } });
      await set();
      await room.clock.advance("30m");
      await set();
      await queue.schedule("k", { every: "1h", limit: 2, name: "odd", payload: { a: SECRET, b: 1 } });
      const stored = await shown(room);
      await drain(queue, { clock: room.clock, until: 86_400_000 });
      return `${stored}; ${said(seen)}; ${Math.round(room.clock.monotonic() / 60_000)} min`;
    },
  );
  row("a plain recurrence that is set again encrypted", 'sealed; ["hunter2","hunter2"]', async (room) => {
    const queue = sealed(room);
    const seen: unknown[] = [];
    queue.on("job:odd", (payload) => void seen.push(payload));
    await queue.schedule("k", { every: "1h", limit: 2, name: "odd", payload: SECRET, encrypted: false });
    await queue.schedule("k", { every: "1h", limit: 2, name: "odd", payload: SECRET });
    const stored = await shown(room);
    await drain(queue, { clock: room.clock, until: 86_400_000 });
    return `${stored}; ${said(seen)}`;
  });
  row("an encrypted recurrence that is set again plain", "[1,1]", async (room) => {
    const queue = sealed(room);
    const seen: unknown[] = [];
    queue.on("job:odd", (payload) => void seen.push(payload));
    await queue.schedule("k", { every: "1h", limit: 2, name: "odd", payload: 1 });
    await queue.schedule("k", { every: "1h", limit: 2, name: "odd", payload: 1, encrypted: false });
    await drain(queue, { clock: room.clock, until: 86_400_000 });
    return said(seen);
  });
  row(
    "a flow: the outcomes of its children",
    "sealed; completed hunter2 undefined; failed done hunter2; done",
    async (room) => {
      const queue = sealed(room);
      let outcomes = "";
      queue.on("job:kid", (payload) => {
        if (payload === 2) throw new Error(SECRET);
        return SECRET;
      });
      queue.on("job:root", (_, ctx) => {
        outcomes = ctx
          .children()
          .map(({ state, result, error }) => `${state} ${said(result)} ${error?.message}`)
          .sort()
          .join("; ");
      });
      const { id } = await queue.addFlow({
        name: "root",
        payload: 0,
        children: [1, 2].map((payload) => ({ name: "kid", payload, onFailure: "ignore" as const })),
      });
      await queue.configure({ keep: { completed: 0, failed: 0 } });
      await drain(queue, { clock: room.clock });
      return `${await shown(room)}; ${outcomes}; ${said((await queue.get(id))?.state)}`;
    },
  );
  row("a flow: the parent is plain, of a queue without keys", "sealed; sealed; completed", async (room) => {
    const queue = sealed(room);
    const plain = room.open("plain");
    let outcomes = "";
    queue.on("job:kid", () => SECRET);
    plain.on("job:root", (_, ctx) => {
      outcomes = JSON.stringify(ctx.children()).includes(SECRET) ? "in the clear" : "sealed";
      return outcomes;
    });
    const { id } = await queue.addFlow({
      name: "root",
      queue: "plain",
      payload: 0,
      encrypted: false,
      children: [{ name: "kid", payload: 1, queue: "vault" }],
    } as never);
    await drain([queue, plain], { clock: room.clock });
    return `${await shown(room)}; ${outcomes}; ${(await plain.get(id))?.state ?? (await queue.get(id))?.state}`;
  });
  row(
    "it is waited for by a queue without keys",
    "refused missing_key: The result is encrypted, but there are no keys: give the queue or manager an encryption, as aesGcm({ keys, current }).",
    async (room) => {
      const queue = sealed(room);
      queue.on("job:odd", () => SECRET);
      const id = await queue.addJob("odd", 1);
      const waited = outcome(() => room.open("vault").waitFor(id));
      await drain(queue, { clock: room.clock });
      return waited;
    },
  );
  row("it is waited for, and fails", "refused handler_failed: hunter2", async (room) => {
    const queue = sealed(room);
    queue.on("job:odd", () => {
      throw new Error(SECRET);
    });
    const id = await queue.addJob("odd", 1);
    const waited = outcome(() => queue.waitFor(id));
    await drain(queue, { clock: room.clock });
    return waited;
  });
  row(
    "its payload refers to itself by an id of its own, swapped",
    "ran 1; two failed decryption_failed",
    async (room) => {
      const queue = sealed(room);
      const seen: unknown[] = [];
      queue.on("job:odd", (payload) => void seen.push(payload));
      await queue.addJob("odd", 1, { id: "one", delay: "1h" });
      await queue.addJob("odd", 2, { id: "two", delay: "1h" });
      const raw = await room.driver.get("vault", "one");
      await room.driver.command({
        type: "update",
        queue: "vault",
        id: "two",
        payload: JSON.stringify(raw?.payload),
        sealed: true,
      });
      await drain(queue, { clock: room.clock });
      const two = await queue.get("two");
      return `ran ${seen.join(", ")}; two ${two?.state} ${two?.error?.code}`;
    },
  );
  row("it is retried after its key was rotated away, then back", "delayed 0, then completed with ran", async (room) => {
    const queue = sealed(room);
    queue.on("job:odd", () => {
      throw new Error(SECRET);
    });
    const id = await queue.addJob("odd", 1);
    await drain(queue, { clock: room.clock });
    const other = sealed(room, { encryption: aesGcm({ keys: { b: new Uint8Array(16) }, current: "b" }) });
    other.on("job:odd", () => "ran");
    await queue.retry(id);
    await other.drain();
    const during = await other.get(id);
    const last = sealed(room, { encryption: aesGcm({ keys: { ...keys, b: new Uint8Array(16) }, current: "b" }) });
    last.on("job:odd", () => "ran");
    await drain(last, { clock: room.clock });
    const job = await last.get(id);
    return `${during?.state} ${during?.attempts}, then ${job?.state} with ${said(job?.result)}`;
  });
  row("its middleware throws the secret", 'sealed; "hunter2"', async (room) => {
    const queue = sealed(room, {
      middleware: [
        async (ctx) => {
          throw new Error(JSON.stringify(ctx.job.payload));
        },
      ],
    });
    queue.on("job:odd", () => 1);
    const id = await queue.addJob("odd", SECRET);
    await drain(queue, { clock: room.clock });
    return `${await shown(room)}; ${(await queue.get(id))?.error?.message}`;
  });
  row("cleared, retried and listed by a queue without keys", "sealed, 1 retried, 1 cleared", async (room) => {
    const queue = sealed(room);
    queue.on("job:odd", (_, ctx) => {
      ctx.log(SECRET);
      throw new Error(SECRET);
    });
    await queue.addJob("odd", SECRET, { tags: ["t"] });
    await drain(queue, { clock: room.clock });
    const plain = room.open("vault");
    const text = JSON.stringify((await plain.list({ tags: ["t"] })).jobs);
    const { affected } = await plain.retryAll({ tags: ["t"] });
    return `${text.includes(SECRET) ? "in the clear" : "sealed"}, ${affected} retried, ${(await plain.clear({ tags: ["t"] })).affected} cleared`;
  });
});
