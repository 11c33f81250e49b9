import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Demo } from "./support/demo-page.ts";
import { buildDemo } from "./support/demo-server.ts";
import { jpeg, png } from "./support/pictures.ts";

/** Pictures in the tab: picked, resized, kept, and delivered to the edge. */
describe("pictures", () => {
  let demo: Demo;
  beforeAll(buildDemo);
  beforeEach(async () => {
    demo = await Demo.start();
  });
  afterEach(() => demo.stop());

  it("picked PNG and JPEG files become thumbnails of the right pixel sizes, here and at the edge", async () => {
    const tab = await demo.open(await demo.browser());
    await tab.pick([
      png("wide.png", 900, 300),
      await jpeg(tab.page, "tall.jpg", 480, 1200),
      await jpeg(tab.page, "square.jpg", 700, 700),
      png("small.png", 50, 40),
    ]);
    const sizes = [
      { name: "wide.png", width: 320, height: 107 },
      { name: "tall.jpg", width: 128, height: 320 },
      { name: "square.jpg", width: 320, height: 320 },
      // Not enlarged.
      { name: "small.png", width: 50, height: 40 },
    ];
    const thumbnails = await tab.thumbnails(4);
    expect(thumbnails).toHaveLength(4);
    for (const size of sizes) expect(thumbnails).toContainEqual(expect.objectContaining(size));

    await tab.delivered(4);
    await tab.counts("gallery", "active", 0);
    const { thumbnails: atTheEdge } = await demo.gallery();
    expect(atTheEdge).toHaveLength(4);
    for (const size of sizes) expect(atTheEdge).toContainEqual(expect.objectContaining({ ...size, arrivals: 1 }));
  });

  it("a reload midway loses nothing and does nothing twice", async () => {
    const tab = await demo.open(await demo.browser());
    const files = Array.from({ length: 5 }, (_, index) => png(`picture-${index}.png`, 400 + 10 * index, 300));
    await tab.switch("slow", true);
    await tab.pick(files);
    await tab.thumbnails(1);
    await tab.rows("images", { state: "active", "job-name": "image-resize" }).first().waitFor();
    const before = await tab.thumbnails(1);
    expect(before.length).toBeLessThan(files.length);

    await tab.reload();
    const after = await tab.thumbnails(files.length);
    await tab.delivered(files.length);
    await tab.counts("images", "completed", 2 * files.length);

    // Nothing is lost, and what was made before the reload was not made again.
    expect(after.map(({ name }) => name).sort()).toEqual(files.map(({ name }) => name));
    for (const made of before) expect(after).toContainEqual(made);
    // Each job ran once. Only what was running when the page went was cut off and run anew: two at most, of each name.
    const rows = await tab.allRows("images");
    expect(rows).toHaveLength(2 * files.length);
    expect(new Set(rows.map(({ state, attempts }) => `${state} ${attempts}`))).toEqual(new Set(["completed 1"]));
    const interrupted = rows.filter(({ interruptions }) => interruptions > 0);
    expect(interrupted.length).toBeLessThanOrEqual(2);
    const madeBefore = new Set(before.map(({ source }) => source));
    expect(interrupted.filter(({ id }) => madeBefore.has(id))).toEqual([]);

    // At the edge: one job and one arrival for each.
    const { thumbnails } = await demo.gallery();
    expect(thumbnails.map(({ source }) => source).sort()).toEqual(after.map(({ source }) => source).sort());
    expect(thumbnails.every(({ arrivals }) => arrivals === 1)).toBe(true);
    const stored = await demo.edgeJobs("gallery", "store-thumbnail");
    expect(stored).toHaveLength(files.length);
    expect(stored.every(({ state, attempts }) => state === "completed" && attempts === 1)).toBe(true);
  });

  it("without a network thumbnails are made and wait; with it they are delivered once each", async () => {
    const context = await demo.browser();
    const tab = await demo.open(context);
    await tab.switch("offline", true);
    await tab.pick([png("one.png", 400, 300), png("two.png", 300, 400), await jpeg(tab.page, "three.jpg", 640, 640)]);
    await tab.thumbnails(3);
    await tab.counts("images", "delayed", 3);
    expect(await demo.gallery()).toEqual({ thumbnails: [] });
    expect(await demo.edgeJobs("gallery", "store-thumbnail")).toEqual([]);

    // The wait outlives the page.
    await tab.reload();
    await tab.counts("images", "delayed", 3);
    expect(await demo.gallery()).toEqual({ thumbnails: [] });

    await tab.switch("offline", false);
    await tab.delivered(3);
    await tab.counts("images", "completed", 6);
    const { thumbnails } = await demo.gallery();
    expect(thumbnails.map(({ name, arrivals }) => `${name} ${arrivals}`).sort()).toEqual([
      "one.png 1",
      "three.jpg 1",
      "two.png 1",
    ]);
    expect(await demo.edgeJobs("gallery", "store-thumbnail")).toHaveLength(3);
    // Waiting for the network spent no attempt.
    const deliveries = (await tab.allRows("images")).filter(({ name }) => name === "deliver");
    expect(deliveries.map(({ attempts }) => attempts)).toEqual([1, 1, 1]);
  });

  it("a failed first attempt is shown and tried again; a damaged file fails for good until its Retry is pressed", async () => {
    const tab = await demo.open(await demo.browser());
    await tab.switch("fail-first", true);
    await tab.pick([png("once-more.png", 64, 64)]);
    await tab.rows("images", { state: "delayed", attempts: "1" }).getByText("Told to fail").waitFor();
    await tab.rows("images", { state: "completed", attempts: "2", "job-name": "image-resize" }).waitFor();
    await tab.switch("fail-first", false);

    await tab.pick([{ name: "damaged.png", mimeType: "image/png", buffer: Buffer.from("not a picture") }]);
    const failed = tab.rows("images", { state: "failed" });
    await failed.getByText("could not be decoded").waitFor();
    const before = await failed.getByTestId("standing").textContent();
    expect(before).toBe("failed");
    await tab.page.getByRole("button", { name: "Pause" }).first().click();
    await tab.page.locator('[data-queue="images"]').getByText("paused").waitFor();
    await failed.getByRole("button", { name: "Retry" }).click();
    await tab.rows("images", { state: "waiting", attempts: "0" }).waitFor();
    await tab.page.getByRole("button", { name: "Resume" }).first().click();
    await failed.getByText("could not be decoded").waitFor();
  });

  it("two tabs show and work the same jobs, each of them once", async () => {
    const context = await demo.browser();
    const first = await demo.open(context);
    const second = await demo.open(context);
    await first.switch("slow", true);
    await first.pick([png("a.png", 64, 64), png("b.png", 64, 64), png("c.png", 64, 64), png("d.png", 64, 64)]);
    // Two jobs a tab at once: four run only when both work.
    await second.counts("images", "active", 4);
    await first.counts("images", "active", 4);
    for (const tab of [first, second]) {
      expect(await tab.thumbnails(4)).toHaveLength(4);
      await tab.delivered(4);
      await tab.counts("images", "completed", 8);
      const rows = await tab.allRows("images");
      expect(rows.every(({ attempts, interruptions }) => attempts === 1 && interruptions === 0)).toBe(true);
    }
    const { thumbnails } = await demo.gallery();
    expect(thumbnails.map(({ arrivals }) => arrivals)).toEqual([1, 1, 1, 1]);
  });
});
