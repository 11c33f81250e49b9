import type { JobOptions, Queue } from "@quayside/core";
import type { EnqueueReceipt, NewJob, NumberedRequest } from "@quayside/core/engine";
import { drain } from "@quayside/testing";
import { attacks, odd, outcome, type Room, said } from "./kit.ts";

async function standing(queue: Queue): Promise<string> {
  const { waiting, delayed, active, completed, failed, cancelled } = await queue.counts();
  return `w${waiting} d${delayed} a${active} c${completed} f${failed} x${cancelled}`;
}

/** Records the payloads as they begin. */
function seen(queue: Queue, name = "odd"): unknown[] {
  const begun: unknown[] = [];
  queue.on(`job:${name}`, (payload) => void begun.push(payload));
  return begun;
}

const HOUR = 3_600_000;

attacks("recurrences beside other plugins", (row) => {
  type Setting = readonly [input: string, came: string, options: JobOptions, around?: (room: Room) => unknown];
  const hog =
    (ms: number) =>
    async ({ queue, clock }: Room) => {
      queue.on("job:hog", () => new Promise<void>((resolve) => void clock.after(ms, resolve)));
      await queue.addJob("hog", null, { group: { key: "g" } });
    };
  const settings: readonly Setting[] = [
    ["nothing more", "8 runs; w0 d1 a0 c8 f0 x0; next in 30 min", {}],
    ["an expiry shorter than its period", "8 runs; w0 d1 a0 c8 f0 x0; next in 30 min", { expiresIn: "1m" }],
    ["an expiry longer than its period", "8 runs; w0 d1 a0 c8 f0 x0; next in 30 min", { expiresIn: "3h" }],
    ["an expiry of a millisecond", "8 runs; w0 d1 a0 c8 f0 x0; next in 30 min", { expiresIn: 1 }],
    [
      "a group that another holds for 5 hours",
      "4 runs; w0 d1 a0 c5 f0 x0; next in 30 min",
      { group: { key: "g" } },
      hog(5 * HOUR),
    ],
    [
      "such a group, and an expiry of an hour",
      "3 runs; w0 d1 a0 c4 f1 x0; next in 30 min",
      { group: { key: "g" }, expiresIn: "1h" },
      hog(5 * HOUR),
    ],
    [
      "such a group, and of limit 2",
      "8 runs; w0 d1 a0 c9 f0 x0; next in 30 min",
      { group: { key: "g", limit: 2 } },
      hog(5 * HOUR),
    ],
    [
      "a rate limit of one in two hours",
      "4 runs; w1 d0 a0 c4 f0 x0; next in -30 min",
      {},
      ({ queue }) => queue.configure({ rateLimit: { max: 1, per: "2h" } }),
    ],
    [
      "a rate limit and an expiry",
      "3 runs; w1 d0 a0 c3 f2 x0; next in -30 min",
      { expiresIn: "30m" },
      ({ queue }) => queue.configure({ rateLimit: { max: 1, per: "2h" } }),
    ],
    [
      "maxActive 1 and a job of 5 hours",
      "4 runs; w0 d1 a0 c5 f0 x0; next in 30 min",
      {},
      async (room) => {
        await room.queue.configure({ maxActive: 1 });
        await hog(5 * HOUR)(room);
      },
    ],
    ["nothing kept", "8 runs; w0 d1 a0 c0 f0 x0; next in 30 min", { keep: { completed: 0, failed: 0 } }],
    [
      "a pause of 5 hours",
      "4 runs; w0 d1 a0 c4 f0 x0; next in 30 min",
      {},
      async ({ queue, clock }) => {
        await queue.pause();
        clock.after(5 * HOUR, () => void queue.resume());
      },
    ],
    [
      "a pause and an expiry",
      "3 runs; w0 d1 a0 c3 f1 x0; next in 30 min",
      { expiresIn: "30m" },
      async ({ queue, clock }) => {
        await queue.pause();
        clock.after(5 * HOUR, () => void queue.resume());
      },
    ],
    ["a priority", "8 runs; w0 d1 a0 c8 f0 x0; next in 30 min", { priority: 5 }],
    ["a name that nothing knows, for 5 hours", "4 runs; w0 d1 a0 c4 f0 x0; next in 30 min", {}, () => "late"],
  ];
  for (const overlap of ["allow", "skip"] as const)
    for (const [input, came, options, around] of settings)
      row(`every hour for 8 hours, ${overlap}, with ${input}`, came, async (room) => {
        const { queue, clock } = room;
        let runs = 0;
        const work = () => void queue.on("job:odd", () => void runs++);
        if ((await around?.(room)) === "late") clock.after(5 * HOUR, work);
        else work();
        await queue.schedule("k", { every: "1h", overlap, name: "odd", payload: 1, ...options });
        await queue.run({ lease: "10m" });
        await clock.advance("8h");
        await clock.advance("30m");
        await queue.stop();
        const pending = (await queue.schedules())[0];
        return `${runs} runs; ${await standing(queue)}; next in ${Math.round(((pending?.nextAt ?? 0) - clock.now()) / 60_000)} min`;
      });
});

const SENT: NumberedRequest = { sender: "outbox", number: 1, digest: "d" };
const told = (receipts: readonly EnqueueReceipt[]) =>
  receipts.map(({ id, deduplicated }) => `${/^[a-z]$/.test(id) ? id : "ID"}${deduplicated ? " again" : ""}`).join(", ");

attacks("numbered requests beside other plugins", (row) => {
  const job = (payload: unknown, more: Partial<NewJob> = {}): NewJob => ({
    queue: "mail",
    name: "odd",
    payload: JSON.stringify(payload),
    ...more,
  });
  const dedupe = (mode: string, more: object = {}) => odd<NewJob["dedupe"] & {}>({ key: "k", mode, ...more });
  const batches: readonly (readonly [input: string, came: string, jobs: readonly NewJob[]])[] = [
    ["two jobs", "ID, ID; the same each time; [1,2] w0 d0 a0 c2 f0 x0", [job(1), job(2)]],
    ["no jobs", "; the same each time; [] w0 d0 a0 c0 f0 x0", []],
    [
      "one id twice",
      "a, a again; the same each time; [1] w0 d0 a0 c1 f0 x0",
      [job(1, { id: "a" }), job(2, { id: "a" })],
    ],
    [
      "one key twice, drop",
      "ID, ID again; the same each time; [1] w0 d0 a0 c1 f0 x0",
      [job(1, { dedupe: dedupe("drop") }), job(2, { dedupe: dedupe("drop") })],
    ],
    [
      "one key twice, replace",
      "ID, ID again; the same each time; [2] w0 d0 a0 c1 f0 x0",
      [job(1, { dedupe: dedupe("replace") }), job(2, { dedupe: dedupe("replace") })],
    ],
    [
      "one key twice, throttle",
      "ID, ID again; the same each time; [1] w0 d0 a0 c1 f0 x0",
      [
        job(1, { dedupe: dedupe("throttle", { ttlMs: 1_000 }) }),
        job(2, { dedupe: dedupe("throttle", { ttlMs: 1_000 }) }),
      ],
    ],
    [
      "a key in three modes",
      "ID, ID again, ID again; the same each time; [3] w0 d0 a0 c1 f0 x0",
      [
        job(1, { dedupe: dedupe("drop") }),
        job(2, { dedupe: dedupe("replace") }),
        job(3, { dedupe: dedupe("debounce") }),
      ],
    ],
    [
      "one id under two keys",
      "a, a again; the same each time; [1] w0 d0 a0 c1 f0 x0",
      [job(1, { id: "a", dedupe: dedupe("drop") }), job(2, { id: "a", dedupe: odd({ key: "l", mode: "drop" }) })],
    ],
    [
      "two ids under one key",
      "a, a again; the same each time; [1] w0 d0 a0 c1 f0 x0",
      [job(1, { id: "a", dedupe: dedupe("drop") }), job(2, { id: "b", dedupe: dedupe("drop") })],
    ],
    [
      "two ids under one key, replaced",
      "a, a again; the same each time; [2] w0 d0 a0 c1 f0 x0",
      [job(1, { id: "a", dedupe: dedupe("replace") }), job(2, { id: "b", dedupe: dedupe("replace") })],
    ],
    [
      "a group whose limit changes thrice",
      "ID, ID, ID; the same each time; [1,2,3] w0 d0 a0 c3 f0 x0",
      [1, 2, 3].map((limit) => job(limit, { group: { key: "g", limit } })),
    ],
    [
      "a group, replaced by one of another",
      "ID, ID again; the same each time; [2] w0 d0 a0 c1 f0 x0",
      [
        job(1, { group: { key: "g" }, dedupe: dedupe("replace") }),
        job(2, { group: { key: "h" }, dedupe: dedupe("replace") }),
      ],
    ],
    [
      "one that is expired, by its delay",
      "ID, ID; the same each time; [2] w0 d0 a0 c1 f1 x0",
      [job(1, { delayMs: 5_000, expiresInMs: 1_000 }), job(2)],
    ],
    [
      "one that replaces an expired one",
      "ID, ID again; the same each time; [2] w0 d0 a0 c1 f0 x0",
      [
        job(1, { delayMs: 5_000, expiresInMs: 1_000, dedupe: dedupe("replace") }),
        job(2, { dedupe: dedupe("replace") }),
      ],
    ],
    [
      "a flow",
      'ID, ID; the same each time; [1,"root"] w0 d0 a0 c2 f0 x0',
      [job("root", { flow: { ref: "r" } }), job(1, { flow: { parentRef: "r" } })],
    ],
    [
      "a flow whose child has the key of a job beside it",
      'ID, ID, ID again; the same each time; [1,"root"] w0 d0 a0 c2 f0 x0',
      [
        job(1, { dedupe: dedupe("drop") }),
        job("root", { flow: { ref: "r" } }),
        job(2, { dedupe: dedupe("drop"), flow: { parentRef: "r" } }),
      ],
    ],
    [
      "a flow whose two children are one by their key",
      'ID, ID, ID again; the same each time; [1,"root"] w0 d0 a0 c2 f0 x0',
      [
        job("root", { flow: { ref: "r" } }),
        job(1, { dedupe: dedupe("drop"), flow: { parentRef: "r" } }),
        job(2, { dedupe: dedupe("drop"), flow: { parentRef: "r" } }),
      ],
    ],
    [
      "a flow whose root has the id of its child",
      "refused invalid_option, names flow.parentRef; the same each time; [] w0 d0 a0 c0 f0 x0",
      [job("root", { id: "a", flow: { ref: "r" } }), job(1, { id: "a", flow: { parentRef: "r" } })],
    ],
    [
      "a flow whose root has the key of its child",
      "refused invalid_option, names flow.parentRef; the same each time; [] w0 d0 a0 c0 f0 x0",
      [
        job("root", { dedupe: dedupe("drop"), flow: { ref: "r" } }),
        job(1, { dedupe: dedupe("drop"), flow: { parentRef: "r" } }),
      ],
    ],
    [
      "a flow whose child expires, ignored",
      'ID, ID; the same each time; ["root"] w0 d0 a0 c1 f1 x0',
      [
        job("root", { flow: { ref: "r" } }),
        job(1, { delayMs: 5_000, expiresInMs: 1_000, flow: { parentRef: "r", onFailure: "ignore" } }),
      ],
    ],
    [
      "a flow of which root and child share a group of 1",
      'ID, ID; the same each time; [1,"root"] w0 d0 a0 c2 f0 x0',
      [
        job("root", { group: { key: "g" }, flow: { ref: "r" } }),
        job(1, { group: { key: "g" }, flow: { parentRef: "r" } }),
      ],
    ],
    [
      "two flows with one child between them, by its id",
      'ID, ID, a, a again; the same each time; [1,"r1","r2"] w0 d0 a0 c3 f0 x0',
      [
        job("r1", { flow: { ref: "r" } }),
        job("r2", { flow: { ref: "s" } }),
        job(1, { id: "a", flow: { parentRef: "r" } }),
        job(1, { id: "a", flow: { parentRef: "s" } }),
      ],
    ],
  ];
  const limits: readonly (readonly [input: string, setting: object])[] = [
    ["", {}],
    [
      ", a rate limit and maxActive 1",
      { rateLimit: { max: 1, per: "1s" }, maxActive: 1, keep: { completed: 0, failed: 0 } },
    ],
  ];
  for (const [beside, setting] of limits)
    for (const [input, came, jobs] of batches)
      row(`${input}${beside}: sent three times`, beside ? came.replace(/ w\d.*$/, "") : came, async (room) => {
        const { queue, driver, clock } = room;
        const begun = seen(queue);
        await queue.configure(setting);
        const send = () => outcome(() => driver.enqueue(jobs, SENT).then(told));
        const first = await send();
        const second = await send();
        await drain(queue, { clock });
        const third = await send();
        await drain(queue, { clock });
        const same = second === first && third === first ? "the same each time" : `then ${second}, then ${third}`;
        return `${first}; ${same}; ${said(begun)} ${Object.keys(setting).length > 0 ? "" : await standing(queue)}`.trim();
      });

  const requests: readonly (readonly [input: string, came: string, requests: readonly unknown[]])[] = [
    ["a number of NaN", "ID; 1 stored", [{ ...SENT, number: Number.NaN }]],
    [
      "a number of 1.5, then 1",
      "ID; refused stale_exchange: Request 1 came after request 1.5.; 1 stored",
      [{ ...SENT, number: 1.5 }, SENT],
    ],
    [
      "a number of Infinity, then 1",
      "ID; refused stale_exchange: Request 1 came after request Infinit; 1 stored",
      [{ ...SENT, number: Number.POSITIVE_INFINITY }, SENT],
    ],
    ["a number that is a text", "ID; ID; 2 stored", [{ ...SENT, number: "1" }, SENT]],
    [
      "a number of 2^53 and the next",
      "ID; ID; 1 stored",
      [
        { ...SENT, number: 2 ** 53 },
        { ...SENT, number: 2 ** 53 + 1 },
      ],
    ],
    ["no number", "ID; 1 stored", [{ sender: "outbox", digest: "d" }]],
    [
      "no digest, twice",
      "ID; ID; 1 stored",
      [
        { sender: "outbox", number: 1 },
        { sender: "outbox", number: 1 },
      ],
    ],
    ["a digest of a megabyte", "ID; 1 stored", [{ ...SENT, digest: "d".repeat(1_000_000) }]],
    ["no sender", "refused invalid_option, names sender; 0 stored", [{ number: 1, digest: "d" }]],
    ["an empty sender", "refused invalid_option, names sender; 0 stored", [{ ...SENT, sender: "" }]],
    ["a sender that is an object", "refused invalid_option, names sender; 0 stored", [{ ...SENT, sender: {} }]],
    ["a sender of half a character", "refused invalid_option, names sender; 0 stored", [{ ...SENT, sender: "\ud800" }]],
    [
      "a sender with a zero",
      "ID; ID; 2 stored",
      [
        { ...SENT, sender: "a\u0000b" },
        { ...SENT, sender: "a" },
      ],
    ],
    [
      "a ttl of 0, sent twice",
      "ID; ID; 2 stored",
      [
        { ...SENT, ttlMs: 0 },
        { ...SENT, ttlMs: 0 },
      ],
    ],
    [
      "a ttl of −1, sent twice",
      "ID; ID; 2 stored",
      [
        { ...SENT, ttlMs: -1 },
        { ...SENT, ttlMs: -1 },
      ],
    ],
    [
      "a ttl of NaN, sent twice",
      "ID; ID; 2 stored",
      [
        { ...SENT, ttlMs: Number.NaN },
        { ...SENT, ttlMs: Number.NaN },
      ],
    ],
    [
      "a ttl that is a text, sent twice",
      "ID; ID; 2 stored",
      [
        { ...SENT, ttlMs: "1d" },
        { ...SENT, ttlMs: "1d" },
      ],
    ],
    ["a text for a request", "refused invalid_option, names sender; 0 stored", ["outbox"]],
    [
      "a number below the last",
      "ID; refused stale_exchange: Request 1 came after request 2.; 1 stored",
      [{ ...SENT, number: 2 }, SENT],
    ],
    [
      "another digest",
      "ID; refused mark_conflict: Request 1 was made before with other ; 1 stored",
      [SENT, { ...SENT, digest: "e" }],
    ],
    ["another digest, after 90 days", "ID; ID; 2 stored", [SENT, "later", { ...SENT, digest: "e" }]],
  ];
  for (const [input, came, list] of requests)
    row(input, came, async (room) => {
      const answers: string[] = [];
      for (const request of list) {
        if (request === "later") await room.clock.advance("91d");
        else answers.push((await outcome(() => room.driver.enqueue([job(1)], odd(request)).then(told))).slice(0, 60));
      }
      return `${answers.join("; ")}; ${(await room.queue.counts()).waiting} stored`;
    });
});
