import { memoryDriver, Queue } from "@quayside/core";
import { cron } from "@quayside/core/cron";
import { MemoryStore } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";

const next = (rule: Parameters<typeof cron>[0], after: string): string | undefined => {
  const at = cron(rule, Date.parse(after));
  return at === undefined ? undefined : new Date(at).toISOString();
};

describe("cron", () => {
  it("reads five fields in UTC, and six with seconds in front", () => {
    expect(next({ cron: "30 7 * * 1-5" }, "2026-01-02T08:00:00Z")).toBe("2026-01-05T07:30:00.000Z");
    expect(next({ cron: "*/15 * * * * *" }, "2026-01-02T08:00:01Z")).toBe("2026-01-02T08:00:15.000Z");
  });

  it("is after the instant given, never at it", () => {
    expect(next({ cron: "0 8 * * *" }, "2026-01-02T08:00:00Z")).toBe("2026-01-03T08:00:00.000Z");
  });

  it("follows daylight saving in its time zone: 7:30 in Berlin is another hour in summer", () => {
    const rule = { cron: "30 7 * * *", timeZone: "Europe/Berlin" };
    expect(next(rule, "2026-03-28T00:00:00Z")).toBe("2026-03-28T06:30:00.000Z");
    expect(next(rule, "2026-03-29T00:00:00Z")).toBe("2026-03-29T05:30:00.000Z");
    expect(next(rule, "2026-10-25T00:00:00Z")).toBe("2026-10-25T06:30:00.000Z");
  });

  it("an hour that the clocks skip runs once that day, an hour that they repeat once too", () => {
    const skipped = { cron: "30 2 * * *", timeZone: "Europe/Berlin" };
    expect(next(skipped, "2026-03-28T12:00:00Z")?.slice(0, 10)).toBe("2026-03-29");
    const first = next(skipped, "2026-10-24T12:00:00Z") as string;
    expect(first.slice(0, 10)).toBe("2026-10-25");
    expect(next(skipped, first)?.slice(0, 10)).toBe("2026-10-26");
  });

  it.each([
    ["0,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00.000Z", "2026-03-30T00:00:00.000Z"],
    ["30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"],
    [
      "15,45 1,2 * * *",
      "Europe/Berlin",
      "2026-03-29T00:46:00Z",
      "2026-03-29T01:00:00.000Z",
      "2026-03-29T23:15:00.000Z",
    ],
    ["0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-04T03:00:00.000Z", "2018-11-05T02:00:00.000Z"],
    ["30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", "2026-03-08T07:00:00.000Z", "2026-03-09T06:30:00.000Z"],
    [
      "15 2 * * *",
      "Australia/Lord_Howe",
      "2026-10-03T00:00:00Z",
      "2026-10-03T15:30:00.000Z",
      "2026-10-04T15:15:00.000Z",
    ],
  ])("runs %s in %s on the day on which the clocks skip it, when they have", (rule, timeZone, after, first, second) => {
    expect(next({ cron: rule, timeZone }, after)).toBe(first);
    expect(next({ cron: rule, timeZone }, first)).toBe(second);
  });

  it.each([
    [
      "0,30 2 * * *",
      "Europe/Berlin",
      "2026-10-24T12:00:00Z",
      ["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-26T01:00"],
    ],
    ["30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", ["2026-11-01T05:30", "2026-11-02T06:30"]],
    ["45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", ["2026-04-04T14:45", "2026-04-05T15:15"]],
  ])("runs %s in %s once on the day on which the clocks repeat it", (rule, timeZone, after, expected) => {
    let at = after;
    for (const instant of expected) {
      at = next({ cron: rule, timeZone }, at) as string;
      expect(at).toBe(`${instant}:00.000Z`);
    }
  });

  it("goes by elapsed time for a rule of every hour, over both changes", () => {
    const rule = { cron: "*/30 * * * *", timeZone: "Europe/Berlin" };
    for (const [from, to] of [
      ["2026-03-28T22:00:00Z", "2026-03-29T04:00:00Z"],
      ["2026-10-24T22:00:00Z", "2026-10-25T04:00:00Z"],
    ] as const) {
      let runs = 0;
      for (let at = next(rule, from); at !== undefined && at <= new Date(to).toISOString(); at = next(rule, at)) runs++;
      expect(runs).toBe(12);
    }
  });

  it("has no next instant when there is none, and names a rule that is wrong", () => {
    for (const never of ["0 0 30 2 *", "0 0 31 2 *"])
      expect(next({ cron: never }, "2026-01-01T00:00:00Z")).toBeUndefined();
    for (const rule of [
      { cron: "61 * * * *" },
      { cron: "every day" },
      { cron: "0 0 * * *", timeZone: "Mars/Olympus" },
    ]) {
      expect(() => cron(rule, 0)).toThrow(
        expect.objectContaining({ code: "invalid_option", details: { option: "cron" } }),
      );
    }
  });
});

describe("a recurrence by cron", () => {
  it("R24: keeps its local hour over a change of daylight saving, one occurrence a day", async () => {
    const clock = createManualClock(Date.parse("2026-03-27T12:00:00Z"));
    const queue = new Queue("mail", memoryDriver({ store: new MemoryStore(), clock, cron }), { clock });
    const ran: string[] = [];
    queue.on("job:report", (_, ctx) => ran.push(new Date(ctx.job.availableAt).toISOString()));
    await queue.schedule("daily", { cron: "30 2 * * *", timeZone: "Europe/Berlin", name: "report", payload: null });
    await queue.run();
    for (let hour = 0; hour < 4 * 24; hour++) await clock.advance(3_600_000);
    await queue.stop();
    // 2:30 does not exist on March 29th: the clocks go from 2:00 to 3:00 (1:00 UTC).
    expect(ran.map((at) => at.slice(0, 10))).toEqual(["2026-03-28", "2026-03-29", "2026-03-30", "2026-03-31"]);
    expect([ran[0], ran[2], ran[3]]).toEqual([
      "2026-03-28T01:30:00.000Z",
      "2026-03-30T00:30:00.000Z",
      "2026-03-31T00:30:00.000Z",
    ]);
  });
});
