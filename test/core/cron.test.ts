import { cron } from "@quayside/core/cron";
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

  it("has no next instant when there is none, and names a rule that is wrong", () => {
    expect(next({ cron: "0 0 30 2 *" }, "2026-01-01T00:00:00Z")).toBeUndefined();
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
