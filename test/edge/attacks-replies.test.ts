import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { QuaysideError, Queue, type Schedule } from "@quayside/core";
import type { ExchangeRequest, NewJob } from "@quayside/core/engine";
import { queueStub, StubDriver, shardedDriver } from "@quayside/edge";
import { afterEach, describe, expect, inject, it } from "vitest";

afterEach(reset);

/** Rows of attacks on replies that go in pages, over RPC and over shards, with what came of them. */

const MIB = 1 << 20;
const odd = <T>(value: unknown): T => value as T;
const stub = () => queueStub(env.BARE_QUEUE, "mail");
const driver = () => new StubDriver(stub);
const split = () => shardedDriver(env.BARE_QUEUE, "mail", { shards: 4 });
const bytesOf = (value: unknown): number => new TextEncoder().encode(JSON.stringify(value)).length;
const text = (bytes: number, unit = "x"): string =>
  JSON.stringify(unit.repeat(Math.floor((bytes - 2) / (bytesOf(unit) - 2))));
const job = (id: string, payload = "1", more: object = {}): NewJob => ({
  queue: "mail",
  name: "note",
  id,
  payload,
  ...more,
});
const round = (exchange: number, more: Partial<ExchangeRequest> = {}): ExchangeRequest => ({
  worker: "0123456789abcdef0123456789abcdef",
  liveness: "time",
  leaseMs: 60_000,
  exchange,
  settle: [],
  running: [],
  claim: { limit: 100, queues: [{ queue: "mail" }] },
  ...more,
});
const refusal = (error: unknown): string =>
  error instanceof QuaysideError ? `refused ${error.code}` : `raw ${String(error).slice(0, 60)}`;

/** A parent whose three children have ended, claimed by nobody yet. */
async function family(to = driver()): Promise<void> {
  await to.enqueue([
    job("root", "1", { flow: { ref: "r" } }),
    ...["a", "b", "c"].map((id) => job(id, "1", { name: "kid", flow: { parentRef: "r" } })),
  ]);
  const queue = new Queue("mail", to);
  queue.on("job:kid", () => "done");
  await queue.drain();
}

describe("attacks C: positions of children and recurrences", () => {
  const REFUSED = "refused invalid_option";
  const afters: readonly (readonly [input: string, children: string, schedules: string, after: unknown])[] = [
    ["nothing", "3", "k0,k1,k2", undefined],
    ["an empty text", "3", "k0,k1,k2", ""],
    ["null", REFUSED, REFUSED, null],
    ["a number", REFUSED, REFUSED, 5],
    ["NaN", REFUSED, REFUSED, Number.NaN],
    ["an object", REFUSED, REFUSED, {}],
    ["a list", REFUSED, REFUSED, ["a"]],
    ["true", REFUSED, REFUSED, true],
    ["a zero", "3", "k0,k1,k2", "\u0000"],
    ["half a character", "0", "", "\ud800"],
    ["the last character", "0", "", "\u{10ffff}"],
    ["one of 100,000", "0", "", "x".repeat(100_000)],
    ["a name with a separator", "0", "k1,k2", "k0\u0001k9"],
    ["the first key", "0", "k1,k2", "k0"],
    ["a member's name", "2", "k0,k1,k2", '["mail","a"]'],
    ["another queue's member", "0", "k0,k1,k2", '["other","a"]'],
    ["__proto__", "0", "k0,k1,k2", "__proto__"],
  ];
  it.each(afters)("%s", async (_, children, schedules, after) => {
    await family();
    for (let n = 0; n < 3; n++)
      await driver().command({
        type: "schedule",
        queue: "mail",
        key: `k${n}`,
        rule: { kind: "every", everyMs: 60_000 },
        job: job("x"),
      });
    const kids = await driver()
      .childrenPage("mail", "root", odd(after))
      .then(
        ({ children, moreChildren }) => `${children.length}${moreChildren === undefined ? "" : " and more"}`,
        refusal,
      );
    const keys = await driver()
      .schedulesPage("mail", odd(after))
      .then((page) => page.map(({ key }) => key).join(), refusal);
    expect([kids, keys]).toEqual([children, schedules]);
  });
});

describe("attacks C: jobs of sizes about what a reply holds", () => {
  const sizes: readonly (readonly [input: string, came: string, jobs: () => readonly NewJob[]])[] = [
    [
      "8 of 1 MiB less what they are shown with",
      "added; pages 8; claims 8 0",
      () => Array.from({ length: 8 }, (_, n) => job(`${n}`, text(MIB - 700))),
    ],
    ["8 of 1 MiB", "added; pages 7 1; claims 7 1 0", () => Array.from({ length: 8 }, (_, n) => job(`${n}`, text(MIB)))],
    [
      "one of 7 MiB less 100 bytes, and small ones",
      "added; pages 3; claims 3 0",
      () => [job("0", text(7 * MIB - 100)), job("1"), job("2")],
    ],
    [
      "one of 8 MiB less a byte, and small ones",
      "refused payload_too_large; pages 0; claims 0",
      () => [job("0", text(8 * MIB - 1)), job("1"), job("2")],
    ],
    [
      "one of 8 MiB, and small ones",
      "refused payload_too_large; pages 0; claims 0",
      () => [job("0", text(8 * MIB)), job("1"), job("2")],
    ],
    [
      "one of 8 MiB and a byte, and small ones",
      "refused payload_too_large; pages 0; claims 0",
      () => [job("0", text(8 * MIB + 1)), job("1"), job("2")],
    ],
    [
      "small ones, then one of 9 MiB",
      "refused payload_too_large; pages 2; claims 2 0",
      () => [job("0"), job("1"), job("2", text(9 * MIB))],
    ],
    [
      "one of 12 MiB, and small ones",
      "refused payload_too_large; pages 0; claims 0",
      () => [job("0", text(12 * MIB)), job("1"), job("2")],
    ],
    [
      "three of 3 MiB of emoji",
      "added; pages 2 1; claims 2 1 0",
      () => Array.from({ length: 3 }, (_, n) => job(`${n}`, text(3 * MIB, "😀"))),
    ],
    [
      "three of 3 MiB of zeros",
      "added; pages 2 1; claims 2 1 0",
      () => Array.from({ length: 3 }, (_, n) => job(`${n}`, text(3 * MIB, "\u0000"))),
    ],
    [
      "three of 3 MiB of quotes",
      "added; pages 2 1; claims 1 1 1 0",
      () => Array.from({ length: 3 }, (_, n) => job(`${n}`, text(3 * MIB, '"'))),
    ],
  ];
  // Millions of characters that are escaped, or of four bytes, take seconds.
  const rows = sizes.filter(([input]) => inject("hostile").nightly || !/ of (emoji|zeros|quotes)$/.test(input));
  it.each(rows)("%s", async (_, expected, jobs) => {
    const added = await (async () => {
      for (const one of jobs()) await driver().enqueue([one]);
      return "added";
    })().catch(refusal);
    const pages: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await driver()
        .list({ queue: "mail", limit: 1_000, ...(cursor !== undefined && { cursor }) })
        .catch(refusal);
      if (typeof page === "string") {
        pages.push(page);
        break;
      }
      pages.push(`${page.jobs.length}`);
      cursor = page.cursor;
    } while (cursor !== undefined && pages.length < 10);
    const claims: string[] = [];
    const running: string[] = [];
    for (let exchange = 1; exchange <= 5; exchange++) {
      const reply = await driver()
        .exchange(round(exchange, { running: [...running] }))
        .catch(refusal);
      if (typeof reply === "string") {
        claims.push(reply);
        break;
      }
      running.push(...reply.jobs.map(({ token }) => token));
      claims.push(`${reply.jobs.length}`);
      if (reply.jobs.length === 0 && reply.nextWakeMs !== 0) break;
    }
    expect(`${added}; pages ${pages.join(" ")}; claims ${claims.join(" ")}`).toBe(expected);
  });
});

describe("attacks C: what changes between two pages", () => {
  const ids = Array.from({ length: 9 }, (_, n) => `job-${n}`);
  type Change = (to: StubDriver) => Promise<unknown>;
  const changes: readonly (readonly [input: string, came: string, change: Change])[] = [
    ["nothing", "0 1 2 3 4 5 6 7 8", async () => {}],
    ["a job is added at the end", "0 1 2 3 4 5 6 7 8 new", (to) => to.enqueue([job("new")])],
    ["a job is added before all", "0 1 2 3 4 5 6 7 8", (to) => to.enqueue([job("first", "1", { priority: 100 })])],
    [
      "the last job of the page is removed",
      "0 1 2 3 4 5 6 7 8",
      (to) => to.command({ type: "remove", queue: "mail", id: "job-2" }),
    ],
    [
      "the first job of the next page is removed",
      "0 1 2 4 5 6 7 8",
      (to) => to.command({ type: "remove", queue: "mail", id: "job-3" }),
    ],
    [
      "all jobs of the page are removed",
      "0 1 2 3 4 5 6 7 8",
      async (to) => {
        for (const id of ids.slice(0, 3)) await to.command({ type: "remove", queue: "mail", id });
      },
    ],
    ["all jobs are removed", "0 1 2", (to) => to.command({ type: "clear", queue: "mail" })],
    [
      "a job of the page is given the lowest priority",
      "0 1 2 3 4 5 6 7 8 1; twice 1",
      (to) => to.command({ type: "update", queue: "mail", id: "job-1", priority: -100 }),
    ],
    [
      "a job of a later page is given the highest",
      "0 1 2 3 4 5 6 7",
      (to) => to.command({ type: "update", queue: "mail", id: "job-8", priority: 100 }),
    ],
    [
      "jobs are claimed",
      "0 1 2 5 6 7 8",
      (to) => to.exchange(round(1, { claim: { limit: 5, queues: [{ queue: "mail" }] } })),
    ],
    [
      "jobs are claimed and end",
      "0 1 2 5 6 7 8 4 3 2 1 0; twice 2 1 0",
      async (to) => {
        const { jobs } = await to.exchange(round(1, { claim: { limit: 5, queues: [{ queue: "mail" }] } }));
        await to.exchange(
          round(2, {
            settle: jobs.map(({ token }) => ({ token, outcome: "completed" as const })),
            claim: { limit: 0, queues: [] },
          }),
        );
      },
    ],
    ["the queue is paused", "0 1 2 3 4 5 6 7 8", (to) => to.command({ type: "pause", queue: "mail" })],
    [
      "jobs are cancelled",
      "0 1 2 3 5 6 8 7 4",
      async (to) => {
        for (const id of ["job-4", "job-7"]) await to.command({ type: "cancel", queue: "mail", id });
      },
    ],
  ];
  it.each(changes)("%s", async (_, expected, change) => {
    const to = driver();
    await to.enqueue(ids.map((id) => job(id)));
    const seen: string[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const page = await to.list({ queue: "mail", limit: 3, ...(cursor !== undefined && { cursor }) });
      seen.push(...page.jobs.map(({ id }) => id.replace("job-", "")));
      cursor = page.cursor;
      if (++pages === 1) await change(to);
    } while (cursor !== undefined && pages < 12);
    const twice = seen.filter((id, index) => seen.indexOf(id) !== index);
    expect(`${seen.join(" ")}${twice.length > 0 ? `; twice ${twice.join(" ")}` : ""}`).toBe(expected);
  });

  const over: readonly (readonly [input: string, came: string, change: (to: StubDriver) => Promise<unknown>])[] = [
    ["nothing", "3, then 3", async () => {}],
    ["the parent is removed", "3, then 0", (to) => to.command({ type: "remove", queue: "mail", id: "root" })],
    ["the queue is cleared", "3, then 0", (to) => to.command({ type: "clear", queue: "mail" })],
    ["the parent is cancelled", "3, then 3", (to) => to.command({ type: "cancel", queue: "mail", id: "root" })],
  ];
  it.each(over)("a parent's children are read, and %s", async (_, expected, change) => {
    const to = driver();
    await family(to);
    const first = await to.childrenPage("mail", "root", "");
    await change(to);
    const second = await to.childrenPage("mail", "root", "");
    expect(`${first.children.length}, then ${second.children.length}`).toBe(expected);
  });

  const recurrences: readonly (readonly [
    input: string,
    came: string,
    change: (to: ReturnType<typeof split>) => Promise<unknown>,
  ])[] = [
    ["nothing", "k6 k7; k6 k7; 10 in all", async () => {}],
    [
      "the one that the page ended with is removed",
      "k6 k7; k6 k7; 9 in all",
      (to) => to.command({ type: "unschedule", queue: "mail", key: "k5" }),
    ],
    [
      "the next one is removed",
      "k6 k7; k7; 9 in all",
      (to) => to.command({ type: "unschedule", queue: "mail", key: "k6" }),
    ],
    [
      "one is added before",
      "k6 k7; k6 k7; 11 in all",
      (to) =>
        to.command({
          type: "schedule",
          queue: "mail",
          key: "a",
          rule: { kind: "every", everyMs: 60_000 },
          job: job("x"),
        }),
    ],
    [
      "one is added after",
      "k6 k7; k6 k7; 11 in all",
      (to) =>
        to.command({
          type: "schedule",
          queue: "mail",
          key: "z",
          rule: { kind: "every", everyMs: 60_000 },
          job: job("x"),
        }),
    ],
    [
      "all are removed",
      "k6 k7; ; 0 in all",
      async (to) => {
        for (let n = 0; n < 10; n++) await to.command({ type: "unschedule", queue: "mail", key: `k${n}` });
      },
    ],
  ];
  it.each(recurrences)("recurrences of four shards are read from k5 on, and %s", async (_, expected, change) => {
    const to = split();
    for (let n = 0; n < 10; n++)
      await to.command({
        type: "schedule",
        queue: "mail",
        key: `k${n}`,
        rule: { kind: "every", everyMs: 60_000 },
        job: job("x"),
      });
    const keys = (page: readonly Schedule[]) => page.map(({ key }) => key).join(" ");
    const before = keys(await to.schedulesPage("mail", "k5"));
    await change(to);
    expect(
      `${before}; ${keys(await to.schedulesPage("mail", "k5"))}; ${(await to.schedules("mail")).length} in all`,
    ).toBe(expected);
  });
});
