import { everything, Queue, type RecurrenceOption } from "@quayside/core";
import type { cron } from "@quayside/core/cron";
import { LAST_INSTANT, MemoryStore, StoreDriver } from "@quayside/core/engine";
import { attacks, odd, outcome, type Room } from "./kit.ts";

const START = Date.UTC(2026, 0, 1);

/** Schedules, and says when the first occurrences are. */
async function plan(room: Room, recurrence: unknown, steps = 2): Promise<string> {
  const { queue, clock } = room;
  const ran: string[] = [];
  const end = await outcome(() =>
    queue.schedule("key", { ...odd<RecurrenceOption>(recurrence), name: "odd", payload: 1 }),
  );
  if (end !== "done") return `${end}, ${(await queue.schedules()).length} kept`;
  queue.on("job:odd", () => void ran.push(new Date(clock.now()).toISOString().replace(":00.000Z", "Z")));
  for (let step = 0; step < steps; step++) {
    await queue.drain();
    const wait = await queue.driver.nextWake(["mail"]);
    if (wait === undefined || wait > 4_000 * 86_400_000 * 9) break;
    await clock.advance(wait);
  }
  await queue.drain();
  const [left] = await queue.schedules();
  return `${ran.join(", ") || "never"}${left ? (left.nextAt === undefined ? "; over, and kept" : "") : "; over"}`;
}

attacks("H: recurrences and cron rules", (row) => {
  const plans: readonly (readonly [input: string, came: string, recurrence: unknown])[] = [
    ["recurrence: null", "refused invalid_option, names recurrence, 0 kept", null],
    ["recurrence: a text", "refused invalid_option, names recurrence, 0 kept", "5m"],
    ["recurrence: nothing said", "refused invalid_option, names recurrence, 0 kept", {}],
    ["every and cron", "refused invalid_option, names recurrence, 0 kept", { every: "5m", cron: "* * * * *" }],
    ["every: 0", "refused invalid_option, names every, 0 kept", { every: 0 }],
    ["every: 99 ms", "refused invalid_option, names every, 0 kept", { every: 99 }],
    ["every: NaN", "refused invalid_option, names every, 0 kept", { every: Number.NaN }],
    ["every: null", "refused invalid_option, names every, 0 kept", { every: null }],
    ["every: 100 years", "never", { every: 100 * 365 * 86_400_000 }],
    ["limit: 0", "refused invalid_option, names limit, 0 kept", { every: "1m", limit: 0 }],
    ["limit: 1.5", "refused invalid_option, names limit, 0 kept", { every: "1m", limit: 1.5 }],
    ["limit: 1", "2026-01-01T00:01Z; over, and kept", { every: "1m", limit: 1 }],
    ["limit: 1, immediately", "2026-01-01T00:00Z; over, and kept", { every: "1m", limit: 1, immediately: true }],
    [
      "limit: 2, immediately, startAt in an hour",
      "2026-01-01T00:00Z, 2026-01-01T01:00Z; over, and kept",
      { every: "1m", limit: 2, immediately: true, startAt: START + 3_600_000 },
    ],
    ["immediately: text", "refused invalid_option, names immediately, 0 kept", { every: "1m", immediately: "yes" }],
    ["overlap: queue", "refused invalid_option, names overlap, 0 kept", { every: "1m", overlap: "queue" }],
    ["startAt: text", "refused invalid_option, names startAt, 0 kept", { every: "1m", startAt: "2026-01-01" }],
    ["startAt: -1", "refused invalid_option, names startAt, 0 kept", { every: "1m", startAt: -1 }],
    [
      "startAt: a date that is none",
      "refused invalid_option, names startAt, 0 kept",
      { every: "1m", startAt: new Date(Number.NaN) },
    ],
    ["startAt: the last instant", "never", { every: "1m", startAt: LAST_INSTANT }],
    [
      "startAt: past the last instant",
      "refused invalid_option, names startAt, 0 kept",
      { every: "1m", startAt: LAST_INSTANT + 1 },
    ],
    ["startAt: 0, every week", "2026-01-01T00:00Z, 2026-01-08T00:00Z, 2026-01-15T00:00Z", { every: "1w", startAt: 0 }],
    [
      "endAt before startAt",
      'refused invalid_option: The recurrence "key" can never occur., 0 kept',
      { every: "1m", startAt: START + 60_000, endAt: START + 1 },
    ],
    [
      "endAt in the past",
      'refused invalid_option: The recurrence "key" can never occur., 0 kept',
      { every: "1m", endAt: START - 1 },
    ],
    [
      "endAt in the past, immediately",
      'refused invalid_option: The recurrence "key" can never occur., 0 kept',
      { every: "1m", endAt: START - 1, immediately: true },
    ],
    [
      "endAt now, immediately",
      'refused invalid_option: The recurrence "key" can never occur., 0 kept',
      { every: "1m", endAt: START, immediately: true },
    ],
    ["endAt at the first occurrence", "2026-01-01T00:01Z; over, and kept", { every: "1m", endAt: START + 60_000 }],
    [
      "endAt a ms before the first occurrence",
      'refused invalid_option: The recurrence "key" can never occur., 0 kept',
      { every: "1m", endAt: START + 59_999 },
    ],
    [
      "startAt and endAt the same instant",
      "2026-01-01T00:00:05.000Z; over, and kept",
      { every: "1m", startAt: START + 5_000, endAt: START + 5_000 },
    ],
    ["cron: empty", "refused invalid_option, names cron, 0 kept", { cron: "" }],
    ["cron: white space", "refused invalid_option, names cron, 0 kept", { cron: "   " }],
    ["cron: a number", "refused invalid_option, names cron, 0 kept", { cron: 5 }],
    ["cron: four fields", "refused invalid_option, names cron, 0 kept", { cron: "* * * *" }],
    ["cron: seven fields", "refused invalid_option, names cron, 0 kept", { cron: "0 0 0 1 1 * 2027" }],
    ["cron: minute 60", "refused invalid_option, names cron, 0 kept", { cron: "60 * * * *" }],
    ["cron: hour -1", "refused invalid_option, names cron, 0 kept", { cron: "0 -1 * * *" }],
    ["cron: a step of 0", "refused invalid_option, names cron, 0 kept", { cron: "*/0 * * * *" }],
    ["cron: a range backwards", "refused invalid_option, names cron, 0 kept", { cron: "0 5-3 * * *" }],
    ["cron: words", "refused invalid_option, names cron, 0 kept", { cron: "every day at noon please" }],
    ["cron: @daily", "2026-01-02T00:00Z, 2026-01-03T00:00Z", { cron: "@daily" }],
    ["cron: @reboot", "refused invalid_option, names cron, 0 kept", { cron: "@reboot" }],
    [
      "cron: the 30th of February",
      'refused invalid_option: The recurrence "key" can never occur., 0 kept',
      { cron: "0 0 30 2 *" },
    ],
    [
      "cron: the 31st of February",
      'refused invalid_option: The recurrence "key" can never occur., 0 kept',
      { cron: "0 0 31 2 *" },
    ],
    [
      "cron: the 31st of April or June",
      'refused invalid_option: The recurrence "key" can never occur., 0 kept',
      { cron: "0 0 31 4,6 *" },
    ],
    ["cron: the 29th of February", "2028-02-29T00:00Z, 2032-02-29T00:00Z", { cron: "0 0 29 2 *" }],
    ["cron: the last day of the month", "2026-01-31T00:00Z, 2026-02-28T00:00Z", { cron: "0 0 L * *" }],
    ["cron: Friday the 13th, or so", "2026-01-02T00:00Z, 2026-01-09T00:00Z", { cron: "0 0 13 * 5" }],
    ["cron: names of months and days", "2026-01-05T00:00Z, 2026-01-12T00:00Z", { cron: "0 0 * JAN MON" }],
    ["cron: Sunday as 7", "2026-01-04T00:00Z, 2026-01-11T00:00Z", { cron: "0 0 * * 7" }],
    ["cron: Sunday as 8", "refused invalid_option, names cron, 0 kept", { cron: "0 0 * * 8" }],
    [
      "cron: an expression of 10,000 characters",
      "2026-01-01T01:00Z, 2026-01-01T02:00Z",
      { cron: `${"0,".repeat(5_000)}0 * * * *` },
    ],
    ["cron: NUL", "refused invalid_option, names cron, 0 kept", { cron: "0 0 * * \u0000" }],
    [
      "cron: a year that it may name: none",
      'refused invalid_option: The recurrence "key" can never occur., 0 kept',
      { cron: "0 0 1 1 *", startAt: Date.UTC(9999, 11, 31) },
    ],
    [
      "cron: startAt the last instant",
      'refused invalid_option: The recurrence "key" can never occur., 0 kept',
      { cron: "0 0 * * *", startAt: LAST_INSTANT },
    ],
    [
      "cron: endAt before its first",
      'refused invalid_option: The recurrence "key" can never occur., 0 kept',
      { cron: "0 12 * * *", endAt: START + 3_600_000 },
    ],
    [
      "cron: limit 1 and immediately",
      "2026-01-01T00:00Z; over, and kept",
      { cron: "0 12 * * *", limit: 1, immediately: true },
    ],
    ["cron: a rule that falls on now", "2027-01-01T00:00Z, 2028-01-01T00:00Z", { cron: "0 0 1 1 *" }],
    [
      "timeZone: of no place",
      "refused invalid_option, names cron, 0 kept",
      { cron: "0 0 * * *", timeZone: "Nowhere/City" },
    ],
    ["timeZone: empty", "refused invalid_option, names cron, 0 kept", { cron: "0 0 * * *", timeZone: "" }],
    ["timeZone: a number", "refused invalid_option, names cron, 0 kept", { cron: "0 0 * * *", timeZone: 2 }],
    ["timeZone: null", "refused invalid_option, names cron, 0 kept", { cron: "0 0 * * *", timeZone: null }],
    ["timeZone: an offset", "2026-01-01T18:30Z, 2026-01-02T18:30Z", { cron: "0 0 * * *", timeZone: "+05:30" }],
    [
      "timeZone: in lower case",
      "2026-01-01T23:00Z, 2026-01-02T23:00Z",
      { cron: "0 0 * * *", timeZone: "europe/vienna" },
    ],
    [
      "timeZone: with every",
      "refused invalid_option, names timeZone, 0 kept",
      { every: "1m", timeZone: "Nowhere/City" },
    ],
    [
      "timeZone: of a quarter of an hour",
      "2026-01-01T18:15Z, 2026-01-02T18:15Z",
      { cron: "0 0 * * *", timeZone: "Asia/Kathmandu" },
    ],
    [
      "timeZone: that skipped a day",
      "2026-01-01T11:00Z, 2026-01-02T11:00Z",
      { cron: "0 0 * * *", timeZone: "Pacific/Apia" },
    ],
    [
      "timeZone: Lord Howe, half an hour of summer",
      "2026-04-04T15:45Z, 2027-04-04T15:45Z",
      { cron: "15 2 5 4 *", timeZone: "Australia/Lord_Howe" },
    ],
    [
      "timeZone: midnight that is skipped (Beirut)",
      "2026-03-28T22:00Z, 2027-03-28T21:00Z",
      { cron: "0 0 29 3 *", timeZone: "Asia/Beirut" },
    ],
    [
      "timeZone: an hour that is repeated (New York)",
      "2026-11-01T05:30Z, 2027-11-01T05:30Z",
      { cron: "30 1 1 11 *", timeZone: "America/New_York" },
    ],
    [
      "timeZone: an hour that is skipped (New York)",
      "2026-03-08T07:00Z, 2027-03-08T07:30Z",
      { cron: "30 2 8 3 *", timeZone: "America/New_York" },
    ],
  ];
  for (const [input, came, recurrence] of plans) row(input, came, (room) => plan(room, recurrence));

  const keys: readonly (readonly [input: string, came: string, key: unknown])[] = [
    [
      "schedule key: undefined",
      "refused invalid_option, names schedule key, 0 kept; unscheduled: false, 0 left",
      undefined,
    ],
    ["schedule key: empty", "refused invalid_option, names schedule key, 0 kept; unscheduled: false, 0 left", ""],
    [
      "schedule key: 257 characters",
      "refused invalid_option, names schedule key, 0 kept; unscheduled: false, 0 left",
      "k".repeat(257),
    ],
    ["schedule key: a slash", "done, 1 kept; unscheduled: true, 0 left", "a/b"],
    ["schedule key: __proto__", "done, 1 kept; unscheduled: true, 0 left", "__proto__"],
    [
      "schedule key: a lone surrogate",
      "refused invalid_option, names schedule key, 0 kept; unscheduled: false, 0 left",
      "\ud800",
    ],
  ];
  for (const [input, came, key] of keys)
    row(input, came, async ({ queue }) => {
      const end = await outcome(() => queue.schedule(odd(key), { every: "1m", name: "odd", payload: 1 }));
      const kept = (await queue.schedules()).length;
      const undone = await outcome(() => queue.unschedule(odd(key)));
      return `${end}, ${kept} kept; unscheduled: ${undone}, ${await queue.size()} left`;
    });

  const options: readonly (readonly [input: string, came: string, options: unknown])[] = [
    ["an occurrence with an id", "refused invalid_option, names id; 0 runs, 0 kept", { id: "fixed" }],
    ["an occurrence with a delay", "refused invalid_option, names delay; 0 runs, 0 kept", { delay: "1h" }],
    [
      "an occurrence with a dedupe key",
      "refused invalid_option, names dedupe; 0 runs, 0 kept",
      { dedupe: { key: "d" } },
    ],
    ["an occurrence that expires before it is due", "done; 3 runs, 1 kept", { expiresIn: 1 }],
    ["an occurrence with an unknown option", "refused invalid_option, names speed; 0 runs, 0 kept", { speed: 1 }],
    ["an occurrence of which nothing is kept", "done; 3 runs, 1 kept", { keep: { completed: 0 } }],
  ];
  for (const [input, came, value] of options)
    row(input, came, async ({ queue, clock }) => {
      const end = await outcome(() =>
        queue.schedule("key", { every: "1m", limit: 3, name: "odd", payload: 1, ...odd<object>(value) }),
      );
      let runs = 0;
      queue.on("job:odd", () => void runs++);
      for (let minute = 0; minute < 6; minute++) {
        await queue.drain();
        await clock.advance("1m");
      }
      await queue.drain();
      return `${end}; ${runs} runs, ${(await queue.schedules()).length} kept`;
    });
  row(
    "a schedule whose payload JSON cannot hold",
    "refused invalid_payload, names payload, 0 kept",
    async ({ queue }) =>
      `${await outcome(() => queue.schedule("k", { every: "1m", name: "odd", payload: 1n }))}, ${(await queue.schedules()).length} kept`,
  );
  row("unschedule() of a key that there is not", "false", ({ queue }) => outcome(() => queue.unschedule("none")));
  row("cron without a driver that reads it", "refused invalid_option, names cron", async ({ clock }) => {
    const driver = new StoreDriver(new MemoryStore(), { plugins: everything(), clock });
    const queue = new Queue("mail", driver, { clock });
    const end = await outcome(() => queue.schedule("k", { cron: "* * * * *", name: "odd", payload: 1 }));
    await driver.close();
    return end;
  });
  const readers: readonly (readonly [input: string, came: string, cron: unknown])[] = [
    ["a cron reader that answers NaN", "refused invalid_option, names cron, 0 kept", () => Number.NaN],
    ["a cron reader that answers the past", "refused invalid_option, names cron, 0 kept", () => 0],
    ["a cron reader that answers text", "refused invalid_option, names cron, 0 kept", () => "soon"],
    [
      "a cron reader that throws",
      "raw Error: no, 0 kept",
      () => {
        throw new Error("no");
      },
    ],
    [
      "a cron reader that answers a half",
      "refused invalid_option, names cron, 0 kept",
      (_: unknown, after: number) => after + 0.5,
    ],
  ];
  for (const [input, came, reader] of readers)
    row(input, came, async (room) => {
      const queue = new Queue("mail", room.another({ plugins: everything(odd<typeof cron>(reader)) }), {
        clock: room.clock,
      });
      const end = await outcome(() => queue.schedule("k", { cron: "* * * * *", name: "odd", payload: 1 }));
      return `${end}, ${(await room.queue.schedules()).length} kept`;
    });
  row("the same schedule from five sides at once", "1 kept, 1 pending", async ({ queue }) => {
    await Promise.all(Array.from({ length: 5 }, () => queue.schedule("k", { every: "1m", name: "odd", payload: 1 })));
    return `${(await queue.schedules()).length} kept, ${await queue.size()} pending`;
  });
  row("schedule and unschedule at once", "1 kept, 1 pending", async ({ queue }) => {
    await Promise.all([
      queue.schedule("k", { every: "1m", name: "odd", payload: 1 }),
      queue.unschedule("k"),
      queue.schedule("k", { every: "2m", name: "odd", payload: 1 }),
    ]);
    return `${(await queue.schedules()).length} kept, ${await queue.size()} pending`;
  });
  row("every 100 ms, and the clock ten years on", "1 runs, 2 counted", async ({ queue, clock }) => {
    await queue.schedule("k", { every: 100, name: "odd", payload: 1 });
    let runs = 0;
    queue.on("job:odd", () => void runs++);
    clock.jump("520w");
    await queue.drain();
    return `${runs} runs, ${(await queue.schedules())[0]?.count} counted`;
  });
  row(
    "overlap: skip, and a handler that takes five minutes of each",
    "3 runs, 1 at once, 1 kept",
    async ({ queue, clock }) => {
      await queue.schedule("k", { every: "1m", overlap: "skip", limit: 3, name: "odd", payload: 1 });
      let at = 0;
      let most = 0;
      let runs = 0;
      queue.on("job:odd", async () => {
        runs++;
        most = Math.max(most, ++at);
        await new Promise<void>((resolve) => void clock.after(300_000, resolve));
        at--;
      });
      await queue.run();
      for (let minute = 0; minute < 30; minute++) await clock.advance("1m");
      await queue.stop();
      return `${runs} runs, ${most} at once, ${(await queue.schedules()).length} kept`;
    },
  );
});
