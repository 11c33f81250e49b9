import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Demo } from "./support/demo-page.ts";
import { buildDemo } from "./support/demo-server.ts";
import { png } from "./support/pictures.ts";

/** A line that the server prints for a request to the Worker. */
const REQUEST = /^(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) \S+ \d{3}/;

/** Between the instant that an alarm is set for and its ringing, on a machine that does other things too. */
const LATE_MS = 3_000;

describe("a delayed job at the edge", () => {
  let demo: Demo;
  beforeAll(buildDemo);
  beforeEach(async () => {
    demo = await Demo.start();
  });
  afterEach(() => demo.stop());

  /**
   * Proof that nothing but the alarm can have started it: the page is closed, and the process that held the object is
   * killed, and with it every timer and every open connection. The new process is asked nothing until the job has run;
   * what it prints for each request shows that. All that is left to wake the object is the alarm that it stored.
   */
  it("is fired by the object's alarm: no page is open, no request comes, and the process is a new one", async () => {
    const browser = await demo.browser();
    const tab = await demo.open(browser);
    await tab.pick([png("one.png", 400, 300), png("two.png", 300, 400)]);
    await tab.delivered(2);
    const [ordered, ...others] = await demo.edgeJobs("gallery", "contact-sheet");
    expect(others).toEqual([]);
    expect(ordered).toMatchObject({ state: "delayed", attempts: 0, payload: { sheet: 1 } });
    await browser.close();

    await demo.restart();
    const restartedAt = Date.now();
    await demo.server.line(/Contact sheet 1: 2 thumbnails/);

    const [job] = await demo.edgeJobs("gallery", "contact-sheet");
    // The first request that the new process has seen is this one, made after the job had run.
    await demo.server.line(REQUEST);
    expect(demo.server.lines.filter((line) => REQUEST.test(line))).toEqual([
      expect.stringContaining("GET /api/queues/gallery/jobs"),
    ]);
    if (job?.startedAt === undefined) throw new Error("The job has no record of its start.");
    expect(job).toMatchObject({ id: ordered?.id, attempts: 1, interruptions: 0 });
    expect(job.startedAt).toBeGreaterThanOrEqual(job.availableAt);
    expect(job.startedAt).toBeLessThan(Math.max(job.availableAt, restartedAt) + LATE_MS);

    // The sheet is there for whoever comes back.
    const later = await demo.open(await demo.browser());
    const sheet = later.page.getByTestId("sheet");
    await sheet.waitFor();
    expect(await sheet.getAttribute("data-sheet")).toBe("1");
    expect(await sheet.evaluate((image: HTMLImageElement) => image.decode().then(() => image.naturalWidth))).toBe(702);
    expect(await later.rows("gallery", { state: "completed", "job-name": "contact-sheet" }).count()).toBe(1);
  });

  it("a burst of thumbnails makes one sheet, a later one makes the next", async () => {
    const tab = await demo.open(await demo.browser());
    const sheet = (number: number) => tab.page.locator(`[data-testid="sheet"][data-sheet="${number}"]`);
    await tab.pick(Array.from({ length: 5 }, (_, index) => png(`burst-${index}.png`, 80, 60)));
    await sheet(1).waitFor();
    expect((await demo.gallery()).sheet).toMatchObject({ number: 1, thumbnails: 5 });
    await tab.pick([png("later.png", 80, 60)]);
    await sheet(2).waitFor();
    const { thumbnails, sheet: last } = await demo.gallery();
    expect(last).toMatchObject({ number: 2, thumbnails: 6 });
    expect(thumbnails.map(({ sheet: on }) => on).sort()).toEqual([1, 1, 1, 1, 1, 2]);
    const sheets = await demo.edgeJobs("gallery", "contact-sheet");
    expect(sheets.map(({ state, attempts }) => `${state} ${attempts}`)).toEqual(["completed 1", "completed 1"]);
  });
});
