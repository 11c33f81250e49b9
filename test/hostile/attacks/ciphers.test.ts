import {
  type AesGcmKeys,
  aesGcm,
  defineJobs,
  type Encryption,
  type JobRecord,
  type Queue,
  QueueManager,
  type QueueOptions,
} from "@quayside/core";
import { drain } from "@quayside/testing";
import { attacks, odd, outcome, type Room, said } from "./kit.ts";

const keys = { a: new Uint8Array(32).fill(7) };
const encryption = aesGcm({ keys, current: "a" });
const SECRET = "hunter2";

const sealed = (room: Room, options: QueueOptions = {}): Queue =>
  room.open("vault", { encryption, defaults: { encrypted: true, maxAttempts: 1 }, ...options });

/** Adds, works and reads a job with these keys. */
async function works(room: Room, made: () => Encryption): Promise<string> {
  return outcome(async () => {
    const queue = sealed(room, { encryption: made() });
    queue.on("job:odd", (payload) => payload);
    const id = await queue.addJob("odd", 1);
    await drain(queue, { clock: room.clock });
    const job = await queue.get(id);
    return `${job?.state} with ${said(job?.result)} ${job?.error?.code ?? ""}`.trim();
  });
}

const importKey = (algorithm: object, usages: readonly KeyUsage[]) =>
  crypto.subtle.importKey("raw", new Uint8Array(32), odd(algorithm), false, [...usages]);
type KeyUsage = Parameters<typeof crypto.subtle.importKey>[4][number];

attacks("keys of aesGcm", (row) => {
  const options: readonly (readonly [input: string, came: string, option: unknown])[] = [
    ["nothing", "refused invalid_option, names encryption", undefined],
    ["null", "refused invalid_option, names encryption", null],
    ["no keys", "refused invalid_option, names encryption.keys", { current: "a" }],
    ["keys that are null", "refused invalid_option, names encryption.keys", { keys: null, current: "a" }],
    [
      "no key among them",
      'refused missing_key: encryption.current names key "a", which is not among encryption.keys here.',
      { keys: {}, current: "a" },
    ],
    ["a list of keys", "refused invalid_option, names encryption.keys", { keys: [new Uint8Array(32)], current: "0" }],
    [
      "a Map of keys",
      'refused missing_key: encryption.current names key "a", which is not among encryption.keys here.',
      { keys: new Map([["a", new Uint8Array(32)]]), current: "a" },
    ],
    ["no current", "refused invalid_option, names encryption.current", { keys }],
    ["a current that is null", "refused invalid_option, names encryption.current", { keys, current: null }],
    [
      "a current that is a number",
      "refused invalid_option, names encryption.current",
      { keys: { 5: new Uint8Array(32) }, current: 5 },
    ],
    ["a current that is a list", "refused invalid_option, names encryption.current", { keys, current: ["a"] }],
    [
      "a current that every object has",
      'refused missing_key: encryption.current names key "toString", which is not among encryption.keys here.',
      { keys, current: "toString" },
    ],
    ["a current that is empty", "completed with 1", { keys: { "": new Uint8Array(32) }, current: "" }],
    [
      "a current named __proto__",
      "refused invalid_option, names encryption.keys.__proto__",
      { keys: JSON.parse('{"__proto__":1}'), current: "__proto__" },
    ],
    [
      "an option more",
      "refused invalid_option, names encryption.algorithm",
      { keys, current: "a", algorithm: "AES-CBC" },
    ],
    [
      "a key of no bytes",
      "refused invalid_option, names encryption.keys.a",
      { keys: { a: new Uint8Array(0) }, current: "a" },
    ],
    [
      "a key of 31 bytes",
      "refused invalid_option, names encryption.keys.a",
      { keys: { a: new Uint8Array(31) }, current: "a" },
    ],
    [
      "a key that is a text",
      "refused invalid_option, names encryption.keys.a",
      { keys: { a: "x".repeat(32) }, current: "a" },
    ],
    [
      "a key that is an ArrayBuffer",
      "refused invalid_option, names encryption.keys.a",
      { keys: { a: new ArrayBuffer(32) }, current: "a" },
    ],
    [
      "a key that is a DataView",
      "refused invalid_option, names encryption.keys.a",
      { keys: { a: new DataView(new ArrayBuffer(32)) }, current: "a" },
    ],
    [
      "a key that is a list of numbers",
      "refused invalid_option, names encryption.keys.a",
      { keys: { a: Array(32).fill(1) }, current: "a" },
    ],
    [
      "a key of 32 numbers of 16 bits",
      "refused invalid_option, names encryption.keys.a",
      { keys: { a: new Uint16Array(32) }, current: "a" },
    ],
    ["a key that is null", "refused invalid_option, names encryption.keys.a", { keys: { a: null }, current: "a" }],
    [
      "a key that is undefined",
      "refused invalid_option, names encryption.keys.a",
      { keys: { a: undefined }, current: "a" },
    ],
    ["a key that is an object", "refused invalid_option, names encryption.keys.a", { keys: { a: {} }, current: "a" }],
    [
      "a key that is a JSON Web Key",
      "refused invalid_option, names encryption.keys.a",
      { keys: { a: { kty: "oct", k: "AAAA" } }, current: "a" },
    ],
    [
      "a key that is a function",
      "refused invalid_option, names encryption.keys.a",
      { keys: { a: () => new Uint8Array(32) }, current: "a" },
    ],
    [
      "a key that is a promise",
      "refused invalid_option, names encryption.keys.a",
      { keys: { a: Promise.resolve(new Uint8Array(32)) }, current: "a" },
    ],
    [
      "an old key that is a text",
      "refused invalid_option, names encryption.keys.old",
      { keys: { ...keys, old: "x" }, current: "a" },
    ],
    [
      "a getter that throws",
      "raw Error: no",
      {
        get keys() {
          throw new Error("no");
        },
        current: "a",
      },
    ],
    [
      "a part of a longer buffer",
      "completed with 1",
      { keys: { a: new Uint8Array(64).subarray(16, 48) }, current: "a" },
    ],
    ["keys without a prototype", "completed with 1", { keys: Object.assign(Object.create(null), keys), current: "a" }],
    [
      "a name of 10,000",
      "completed with 1",
      { keys: { ["k".repeat(10_000)]: new Uint8Array(32) }, current: "k".repeat(10_000) },
    ],
  ];
  for (const [input, came, option] of options)
    row(input, came, (room) => works(room, () => aesGcm(odd<AesGcmKeys>(option))));

  const cryptoKeys: readonly (readonly [input: string, came: string, key: () => Promise<unknown>])[] = [
    ["a CryptoKey of AES-GCM", "completed with 1", () => importKey({ name: "AES-GCM" }, ["encrypt", "decrypt"])],
    [
      "a CryptoKey that only decrypts",
      "refused invalid_option, names encryption.keys.a",
      () => importKey({ name: "AES-GCM" }, ["decrypt"]),
    ],
    [
      "a CryptoKey that only encrypts",
      "refused invalid_option, names encryption.keys.a",
      () => importKey({ name: "AES-GCM" }, ["encrypt"]),
    ],
    [
      "a CryptoKey of AES-CBC",
      "refused invalid_option, names encryption.keys.a",
      () => importKey({ name: "AES-CBC" }, ["encrypt", "decrypt"]),
    ],
    [
      "a CryptoKey of HMAC",
      "refused invalid_option, names encryption.keys.a",
      () => importKey({ name: "HMAC", hash: "SHA-256" }, ["sign"]),
    ],
  ];
  for (const [input, came, made] of cryptoKeys)
    row(input, came, async (room) => {
      const key = odd<Uint8Array<ArrayBuffer>>(await made());
      return works(room, () => aesGcm({ keys: { a: key }, current: "a" }));
    });

  row("raw bytes that are zeroed after aesGcm has them", "sealed; hunter2", async (room) => {
    const bytes = new Uint8Array(32).fill(9);
    const made = aesGcm({ keys: { a: bytes }, current: "a" });
    bytes.fill(0);
    const id = await sealed(room, { encryption: made }).addJob("odd", SECRET);
    const zero = sealed(room, { encryption: aesGcm({ keys: { a: new Uint8Array(32) }, current: "a" }) });
    const nine = sealed(room, { encryption: aesGcm({ keys: { a: new Uint8Array(32).fill(9) }, current: "a" }) });
    return `${(await zero.get(id))?.payload === SECRET ? "a key of zeros opens it" : "sealed"}; ${said((await nine.get(id))?.payload).slice(0, 9)}`;
  });
  row("the list of keys is changed afterwards", "completed with 1", async (room) => {
    const list: Record<string, Uint8Array<ArrayBuffer>> = { ...keys };
    const option = { keys: list, current: "a" };
    const made = aesGcm(option);
    option.current = "none";
    delete list["a"];
    return works(room, () => made);
  });
});

type Sealed = { readonly key: string; readonly iv: string; readonly data: string };
const turned = (text: string) => `${text.startsWith("A") ? "B" : "A"}${text.slice(1)}`;

/** Changes to an envelope by an attacker who can write to the disk. */
const DAMAGES: readonly (readonly [input: string, payload: string, rest: string, of: (whole: Sealed) => unknown])[] = [
  [
    "a bit of the data turned",
    "failed decryption_failed, did not run, sealed",
    'envelope envelope envelope; refused decryption_failed: The result of job ID does not decrypt with key "a": it takes another key,',
    (whole) => ({ ...whole, data: turned(whole.data) }),
  ],
  [
    "a bit of the iv turned",
    "failed decryption_failed, did not run, sealed",
    'envelope envelope envelope; refused decryption_failed: The result of job ID does not decrypt with key "a": it takes another key,',
    (whole) => ({ ...whole, iv: turned(whole.iv) }),
  ],
  [
    "no data",
    "failed decryption_failed, did not run, sealed",
    'envelope envelope envelope; refused decryption_failed: The result of job ID does not decrypt with key "a": it takes another key,',
    (whole) => ({ ...whole, data: "" }),
  ],
  [
    "no iv",
    "failed decryption_failed, did not run, sealed",
    'envelope envelope envelope; refused decryption_failed: The result of job ID does not decrypt with key "a": it takes another key,',
    (whole) => ({ ...whole, iv: "" }),
  ],
  [
    "the tag cut off",
    "failed decryption_failed, did not run, sealed",
    'envelope envelope envelope; refused decryption_failed: The result of job ID does not decrypt with key "a": it takes another key,',
    (whole) => ({ ...whole, data: whole.data.slice(0, -24) }),
  ],
  [
    "data that is no base64",
    "failed decryption_failed, did not run, sealed",
    'envelope envelope envelope; refused decryption_failed: The result of job ID does not decrypt with key "a": it takes another key,',
    (whole) => ({ ...whole, data: "%%%%" }),
  ],
  [
    "data that is a number",
    "failed decryption_failed, did not run, sealed",
    "nothing nothing envelope; refused decryption_failed: The result of job ID is not encrypted, though its job is: it takes anothe",
    (whole) => ({ ...whole, data: 5 }),
  ],
  [
    "data of a megabyte",
    "failed decryption_failed, did not run, sealed",
    'envelope envelope envelope; refused decryption_failed: The result of job ID does not decrypt with key "a": it takes another key,',
    (whole) => ({ ...whole, data: "A".repeat(1_000_000) }),
  ],
  [
    "the key of another",
    "failed decryption_failed, did not run, sealed",
    'envelope envelope envelope; refused decryption_failed: The result of job ID does not decrypt with key "b": it takes another key,',
    (whole) => ({ ...whole, key: "b" }),
  ],
  [
    "no such key",
    "delayed , did not run, sealed",
    'envelope envelope envelope; refused missing_key: A job was encrypted with key "gone", which is not among encryption.keys here.',
    (whole) => ({ ...whole, key: "gone" }),
  ],
  [
    "a key that every object has",
    "delayed , did not run, sealed",
    'envelope envelope envelope; refused missing_key: A job was encrypted with key "constructor", which is not among encryption.keys ',
    (whole) => ({ ...whole, key: "constructor" }),
  ],
  [
    "not bound to its job",
    "failed decryption_failed, did not run, sealed",
    "whole whole whole; hunter2",
    ({ bound: _, ...whole }: Sealed & { readonly bound?: unknown }) => whole,
  ],
  [
    "bound to its job",
    "completed , hunter2, sealed",
    "whole whole whole; hunter2",
    (whole) => ({ ...whole, bound: true }),
  ],
  [
    "another version",
    "failed decryption_failed, did not run, sealed",
    "nothing nothing envelope; refused decryption_failed: The result of job ID is not encrypted, though its job is: it takes anothe",
    (whole) => ({
      ...whole,
      ...Object.fromEntries(
        Object.keys(whole)
          .slice(0, 1)
          .map((at) => [at, 2]),
      ),
    }),
  ],
  [
    "itself in an envelope",
    "failed decryption_failed, did not run, sealed",
    "nothing nothing envelope; refused decryption_failed: The result of job ID is not encrypted, though its job is: it takes anothe",
    (whole) => ({ ...whole, data: whole }),
  ],
  [
    "null",
    "failed decryption_failed, did not run, sealed",
    "nothing nothing null; refused decryption_failed: The result of job ID is not encrypted, though its job is: it takes anothe",
    () => null,
  ],
  [
    "a text in the clear",
    "failed decryption_failed, did not run, sealed",
    'nothing nothing "forged"; refused decryption_failed: The result of job ID is not encrypted, though its job is: it takes anothe',
    () => "forged",
  ],
  [
    "a list",
    "failed decryption_failed, did not run, sealed",
    "nothing nothing envelope; refused decryption_failed: The result of job ID is not encrypted, though its job is: it takes anothe",
    (whole) => [whole],
  ],
];

attacks("damaged envelopes", (row) => {
  const two = aesGcm({ keys: { ...keys, b: new Uint8Array(32).fill(8) }, current: "a" });
  for (const [input, payload, rest, damage] of DAMAGES) {
    row(`the payload: ${input}`, payload, async (room) => {
      const queue = sealed(room, { encryption: two });
      const ran: unknown[] = [];
      queue.on("job:odd", (payload) => void ran.push(payload));
      const id = await queue.addJob("odd", SECRET, { id: "own", delay: "1h" });
      const stored = await room.driver.get("vault", id);
      const damaged = JSON.stringify(damage(odd(stored?.payload)));
      await room.driver.command({ type: "update", queue: "vault", id, payload: damaged, sealed: true });
      await room.clock.advance("2h");
      await queue.drain();
      const job = await queue.get(id);
      const raw = JSON.stringify(await room.driver.get("vault", id));
      return `${job?.state} ${job?.error?.code ?? ""}, ${said(ran[0] ?? "did not run")}, ${raw.includes(SECRET) ? "in the clear" : "sealed"}`;
    });
    row(`result, progress and a line of the log: ${input}`, rest, async (room) => {
      const queue = sealed(room, { encryption: two });
      queue.on("job:odd", (_, ctx) => {
        ctx.progress(SECRET);
        ctx.log(SECRET);
        return SECRET;
      });
      const id = await queue.addJob("odd", 1);
      await drain(queue, { clock: room.clock });
      const get = room.driver.get.bind(room.driver);
      room.driver.get = async (name, asked) => {
        const job = (await get(name, asked)) as JobRecord & { readonly result: Sealed; readonly progress: Sealed };
        return odd<JobRecord>({
          ...job,
          result: damage(job.result),
          progress: damage(job.progress),
          logs: [JSON.stringify(damage(JSON.parse(job.logs[0] ?? "null")))],
        });
      };
      const job = await queue.get(id);
      const told = [job?.result, job?.progress, job?.logs[0]].map((value) =>
        value === SECRET
          ? "whole"
          : value === undefined
            ? "nothing"
            : JSON.stringify(value).includes("iv")
              ? "envelope"
              : said(value).slice(0, 30),
      );
      return `${told.join(" ")}; ${(await outcome(() => queue.waitFor(id))).slice(0, 100)}`;
    });
  }
});

type Field = "payload" | "result" | "progress" | "log" | "error";

/** A finished job of this queue that bears all that an encrypted one may: with a result, or else with an error. */
async function full(queue: Queue, name: string, fails: boolean, id?: string): Promise<string> {
  const added = await queue.addJob(
    name,
    { of: name },
    { ...(id !== undefined && { id }), tags: fails ? ["fails"] : [] },
  );
  await queue.drain();
  return added;
}

const work = (queue: Queue, name: string) =>
  queue.on(`job:${name}`, (payload, ctx) => {
    ctx.progress({ progress: SECRET });
    ctx.log(`log ${SECRET}`);
    if (ctx.job.tags.includes("fails")) throw new Error(`error ${SECRET}`);
    return { result: SECRET, payload };
  });

const take = (job: JobRecord, field: Field): unknown =>
  field === "log"
    ? JSON.parse(job.logs[0] ?? "null")
    : field === "error"
      ? job.error?.details?.["quayside:sealed"]
      : job[field];

const put = (job: JobRecord, field: Field, value: unknown): JobRecord =>
  odd<JobRecord>(
    field === "log"
      ? { ...job, logs: [JSON.stringify(value)] }
      : field === "error"
        ? { ...job, error: { ...job.error, details: { "quayside:sealed": value } } }
        : { ...job, [field]: value },
  );

attacks("envelopes that were moved", (row) => {
  const fields: readonly Field[] = ["payload", "result", "progress", "log", "error"];
  /** How what was moved is read: whole, or as it is stored. */
  const read = (job: JobRecord | undefined, field: Field): string => {
    const value = field === "log" ? job?.logs[0] : field === "error" ? job?.error?.message : job?.[field];
    const text = JSON.stringify(value) ?? "nothing";
    return text.includes(SECRET) || text.includes('"of"')
      ? "read in the clear"
      : text.includes("iv")
        ? "envelope"
        : text.slice(0, 60);
  };
  const wheres: readonly (readonly [where: string, queue: string, name: string, id?: string])[] = [
    ["another job of its queue and name", "vault", "odd"],
    ["a job of an own id of its queue and name", "vault", "odd", "own"],
    ["a job of another name", "vault", "other"],
    ["a job of another queue", "safe", "odd"],
  ];
  // The id of a generated one is not known when its payload is encrypted: queue and name are all that it is bound to.
  const from = (where: string, field: Field): string =>
    field === "error"
      ? '"An error of an encrypted job: its key reads it."'
      : field === "payload" && where === wheres[0]?.[0]
        ? "read in the clear"
        : "envelope";
  for (const [where, name, job, id] of wheres)
    for (const field of fields)
      row(`${field} of ${where}`, from(where, field), async (room) => {
        const queue = sealed(room);
        const home =
          name === "vault" ? queue : room.open(name, { encryption, defaults: { encrypted: true, maxAttempts: 1 } });
        work(queue, "odd");
        if (home !== queue || job !== "odd") work(home, job);
        const fails = field === "error";
        const victim = await full(queue, "odd", fails, id && "victim");
        const source = await full(home, job, fails, id);
        const other = (await room.driver.get(name, source)) as JobRecord;
        const get = room.driver.get.bind(room.driver);
        room.driver.get = async (of, asked) => {
          const whole = (await get(of, asked)) as JobRecord;
          return asked === victim ? put(whole, field, take(other, field)) : whole;
        };
        return read(await queue.get(victim), field);
      });
  for (const from of fields)
    for (const to of fields)
      if (from !== to && (from === "error") === (to === "error" || from === "error"))
        row(`${from} of the job itself in the place of its ${to}`, "envelope", async (room) => {
          const queue = sealed(room);
          work(queue, "odd");
          const id = await full(queue, "odd", from === "error" || to === "error", "own");
          const get = room.driver.get.bind(room.driver);
          room.driver.get = async (of, asked) => {
            const whole = (await get(of, asked)) as JobRecord;
            return put(whole, to, take(whole, from));
          };
          return read(await queue.get(id), to);
        });
});

attacks("keys that are rotated", (row) => {
  const b = new Uint8Array(32).fill(8);
  const after: readonly (readonly [input: string, came: string, then: AesGcmKeys])[] = [
    [
      "the old key stays",
      'completed handler_failed ["hunter2","one"]; told []',
      { keys: { ...keys, b }, current: "b" },
    ],
    ["the old key goes", 'delayed handler_failed done; told ["missing_key"]', { keys: { b }, current: "b" }],
    ["the old id, another key", "failed decryption_failed done; told []", { keys: { a: b }, current: "a" }],
    ["the ids are swapped", "failed decryption_failed done; told []", { keys: { a: b, b: keys.a }, current: "a" }],
    [
      "the key has another id",
      'delayed handler_failed done; told ["missing_key"]',
      { keys: { b: keys.a }, current: "b" },
    ],
    [
      "a shorter key of the same bytes",
      "failed decryption_failed done; told []",
      { keys: { a: keys.a.subarray(0, 16) }, current: "a" },
    ],
  ];
  for (const [input, came, then] of after)
    row(`while a job waits: ${input}`, came, async (room) => {
      const queue = sealed(room);
      queue.on("job:odd", (_, ctx) => {
        ctx.log("one");
        throw new Error("again");
      });
      const id = await queue.addJob("odd", SECRET, { maxAttempts: 2, backoff: "1s" });
      await queue.drain();
      const next = sealed(room, { encryption: aesGcm(then) });
      const told: unknown[] = [];
      next.on("error", ({ error }) => void told.push((error as { readonly code?: string }).code));
      next.on("job:odd", (payload, ctx) => [payload, ...ctx.job.logs]);
      await room.clock.advance("2s");
      await next.drain();
      const job = await next.get(id);
      return `${job?.state} ${job?.error?.code} ${said(job?.result)}; told ${said(told)}`;
    });
});

attacks("what an encrypted job does not tell", (row) => {
  const tells: readonly (readonly [input: string, came: string, act: (room: Room, queue: Queue) => unknown])[] = [
    [
      "a payload that decrypts to no JSON",
      "done; sealed; failed decryption_failed; told []",
      async (room, queue) => {
        queue.on("job:odd", () => {});
        await room.driver.enqueue([await encryption.seal({ queue: "vault", name: "odd", payload: SECRET })]);
      },
    ],
    [
      "a schema that refuses the payload in the handler",
      'done; sealed; failed invalid_payload; told ["unknown_job"]',
      async (room) => {
        const strict = {
          "~standard": {
            version: 1,
            vendor: "own",
            validate: (value: unknown) => ({
              issues: [{ message: `${JSON.stringify(value)} is none`, path: ["password"] }],
            }),
          },
        };
        const queue = sealed(room, { jobs: odd(defineJobs({ odd: { input: odd(strict) } })) });
        await sealed(room).addJob("odd", SECRET);
        queue.on("job:odd", () => {});
        await drain(queue, { clock: room.clock });
      },
    ],
    [
      "a schema that refuses the result",
      'done; sealed; failed invalid_result; told ["unknown_job"]',
      async (room) => {
        const strict = {
          "~standard": {
            version: 1,
            vendor: "own",
            validate: (value: unknown) => ({ issues: [{ message: `${JSON.stringify(value)} is none` }] }),
          },
        };
        const queue = sealed(room, { jobs: odd(defineJobs({ odd: { output: odd(strict), handler: () => SECRET } })) });
        await queue.addJob("odd", 1);
        await drain(queue, { clock: room.clock });
      },
    ],
    [
      "progress that is too large",
      "done; sealed; failed result_too_large; told []",
      async (_, queue) => {
        queue.on("job:odd", (_, ctx) => ctx.progress(SECRET.repeat(20_000)));
        await queue.addJob("odd", 1);
      },
    ],
    [
      "a promise as progress, and a rejected one",
      "done; sealed; failed invalid_option; told []",
      async (_, queue) => {
        queue.on("job:odd", (_, ctx) => ctx.progress(odd(Promise.reject(new Error(SECRET)).catch(() => SECRET))));
        await queue.addJob("odd", 1);
      },
    ],
    [
      "a log of an error with the secret",
      "done; sealed; completed; told []",
      async (_, queue) => {
        queue.on("job:odd", (_, ctx) => ctx.log(odd(new Error(SECRET))));
        await queue.addJob("odd", 1);
      },
    ],
    [
      "progress and log after its end",
      "done; sealed; completed; told []",
      async (room, queue) => {
        queue.on("job:odd", (_, ctx) => {
          void Promise.resolve().then(async () => {
            await room.clock.nextTask?.();
            ctx.progress(SECRET);
            ctx.log(SECRET);
          });
        });
        await queue.addJob("odd", 1);
      },
    ],
    [
      "a timeout whose handler throws the secret",
      "done; sealed; failed timeout; told []",
      async (room, queue) => {
        const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
        queue.on("job:odd", (_, ctx) => {
          begin();
          return new Promise((_, reject) => ctx.signal.addEventListener("abort", () => reject(new Error(SECRET))));
        });
        await queue.addJob("odd", 1, { timeout: "1s" });
        await queue.run();
        await begun;
        await room.clock.advance("1m");
        await queue.stop();
      },
    ],
    [
      "a release whose reason is the secret",
      "done; sealed; failed handler_failed; told []",
      async (_, queue) => {
        queue.on("job:odd", () => {
          throw Object.assign(new Error(SECRET), { name: "Release", delayMs: 5 });
        });
        await queue.addJob("odd", 1);
      },
    ],
    [
      "an error whose toJSON and message tell it late",
      "done; sealed; failed handler_failed; told []",
      async (_, queue) => {
        queue.on("job:odd", () => {
          let reads = 0;
          throw Object.defineProperty(new Error(), "message", { get: () => (reads++ > 2 ? SECRET : "none") });
        });
        await queue.addJob("odd", 1);
      },
    ],
    [
      "retryIf that throws the secret",
      'done; sealed; failed handler_failed; told ["Error: hunter2","unknown_job"]',
      async (room) => {
        const queue = sealed(room, {
          jobs: odd(
            defineJobs({
              odd: {
                maxAttempts: 2,
                retryIf: () => {
                  throw new Error(SECRET);
                },
                handler: () => {
                  throw new Error("x");
                },
              },
            }),
          ),
        });
        await queue.addJob("odd", 1);
        await drain(queue, { clock: room.clock });
      },
    ],
    [
      "a backoff that throws the secret",
      'done; sealed; failed handler_failed; told ["Error: hunter2","unknown_job"]',
      async (room) => {
        const queue = sealed(room, {
          defaults: { encrypted: true },
          jobs: odd(
            defineJobs({
              odd: {
                maxAttempts: 2,
                backoff: () => {
                  throw new Error(SECRET);
                },
                handler: () => {
                  throw new Error("x");
                },
              },
            }),
          ),
        });
        await queue.addJob("odd", 1);
        await drain(queue, { clock: room.clock });
      },
    ],
    [
      "a job of a recurrence",
      "done; sealed; failed handler_failed; told []",
      async (_, queue) => {
        queue.on("job:odd", () => {
          throw new Error(SECRET);
        });
        await queue.schedule("k", { every: "1h", immediately: true, limit: 1, name: "odd", payload: SECRET });
      },
    ],
    [
      "a child whose parent fails with it",
      "done; sealed; failed child_failed, failed handler_failed; told []",
      async (_, queue) => {
        queue.on("job:odd", () => {
          throw new Error(SECRET);
        });
        queue.on("job:root", () => {});
        await queue.addFlow({ name: "root", payload: SECRET, children: [{ name: "odd", payload: SECRET }] });
      },
    ],
    [
      "a key of dedupe that replaces it",
      "done; sealed; delayed; told []",
      async (_, queue) => {
        queue.on("job:odd", () => {});
        await queue.addJob("odd", `${SECRET} 1`, { dedupe: { key: "k", mode: "replace" }, delay: "1h" });
        await queue.addJob("odd", `${SECRET} 2`, { dedupe: { key: "k", mode: "replace" }, delay: "1h" });
      },
    ],
    [
      "publish to it",
      "done; sealed; completed; told []",
      async (room, queue) => {
        queue.on("job:odd", () => {});
        const manager = new QueueManager({ driver: room.driver, encryption, defaults: { encrypted: true } });
        await manager.publish({ name: "odd", payload: SECRET, queues: ["vault"] });
      },
    ],
  ];
  for (const [input, came, act] of tells)
    row(input, came, async (room) => {
      const queue = sealed(room);
      const refused = await outcome(() => act(room, queue));
      await drain(queue, { clock: room.clock, until: 3_000_000 });
      const text = JSON.stringify([await room.driver.list({ queue: "vault" }), await room.driver.schedules("vault")]);
      const { jobs } = await room.driver.list({ queue: "vault" });
      const told = room.faults.map((error) => `${(error as { readonly code?: string }).code ?? String(error)}`);
      return `${refused}; ${text.includes(SECRET) ? `in the clear ${text.slice(Math.max(0, text.indexOf(SECRET) - 80), text.indexOf(SECRET) + 20)}` : "sealed"}; ${jobs.map(({ state, error }) => `${state} ${error?.code ?? ""}`.trim()).join(", ")}; told ${said(told)}`;
    });
});

attacks("refusals of keys tell nothing of them", (row) => {
  const bytes = "0123456789abcdef0123456789abcdef";
  const options: readonly (readonly [input: string, came: string, option: unknown])[] = [
    ["the key in place of the option", "tells nothing", bytes],
    ["the key in place of the keys", "tells nothing", { keys: bytes, current: "a" }],
    ["a key as a text", "tells nothing", { keys: { a: bytes }, current: "a" }],
    ["a key as a list", "tells nothing", { keys: { a: [...bytes] }, current: "a" }],
    ["a key as an object", "tells nothing", { keys: { a: { k: bytes } }, current: "a" }],
    ["a key in a field of its own", "tells nothing", { keys, current: "a", key: bytes }],
    ["a key as current", "tells nothing", { keys, current: [bytes] }],
    ["a key in a list of keys", "tells nothing", { keys: [bytes], current: "0" }],
  ];
  for (const [input, came, option] of options)
    row(input, came, () => {
      try {
        aesGcm(odd<AesGcmKeys>(option));
        return "taken";
      } catch (error) {
        const text = JSON.stringify([String(error), (error as { readonly details?: unknown }).details]);
        return text.includes(bytes.slice(0, 8)) ? `tells: ${text}` : "tells nothing";
      }
    });
});
