import { evictDurableObject, reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, expect, inject, it } from "vitest";
import page from "../../docs/cost.md?raw";
import { HOUR_CASES } from "./hour/cases.ts";
import { HourObject, hourOf, MINUTE_MS } from "./hour/hour.ts";

afterAll(reset);

/** The table of docs/cost.md that `pnpm bench:cost --write` makes: figures by the title of their row. */
const rows = new Map(
  (page.split("<!-- wakes -->")[1]?.split("<!-- /wakes -->")[0] ?? "")
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .map((line) => line.split("|").map((cell) => cell.trim()))
    .map(([, title = "", ...cells]) => [title, cells.slice(0, 4).map((cell) => Number(cell.replaceAll(",", "")))]),
);

const evict = (object: DurableObjectStub) => evictDurableObject(object);
const world = { queues: env.HOUR_QUEUE, shops: env.HOUR_SHOP, evict };
const { nightly } = inject("hostile");

it.for(Object.entries(HOUR_CASES).filter(([, { slow }]) => nightly || !slow))(
  "an hour costs what the page says: %s",
  { timeout: 60_000 },
  async ([title, hour]) => {
    const spent = await hourOf(hour, world);
    // The page gives three figures that count. What is read may grow a little: a thousand rows cost as much as one written.
    const [wakes, rowsWritten, rowsRead = 0, awake] = rows.get(title) ?? [];
    const shown = (figure: number) => Number(figure.toPrecision(3));
    expect([spent.wakes, spent.rowsWritten, spent.awake].map(shown)).toEqual([wakes, rowsWritten, awake]);
    expect(spent.rowsRead).toBeLessThanOrEqual(rowsRead * 1.1);
  },
);

it("the page has a row for each case, and no other", () => {
  expect([...rows.keys()].slice(2)).toEqual(Object.keys(HOUR_CASES));
});

it("jobs run, ten minutes later at most, once the exchanges of the object's worker succeed again", async () => {
  const case_ = HOUR_CASES["100 jobs are due, and each exchange of the object's worker fails"];
  const object = await case_?.prepare(world);
  if (!object) throw new Error("There is no such case.");
  await object.spend(60 * MINUTE_MS);
  expect((await object.queue.counts()).waiting).toBeGreaterThanOrEqual(100);
  await object.stub.act("takeLeases");
  await object.spend(10 * MINUTE_MS);
  expect(await object.queue.counts()).toMatchObject({ waiting: 0, completed: 100 });
  // The count begins again: the next fault is met ten seconds later, and not ten minutes.
  await object.stub.act("refuseLeases");
  await object.queue.addJob("email", null);
  expect((await object.spend(MINUTE_MS)).wakes).toBeGreaterThanOrEqual(2);
});

it("the user's own alarm rings when it is due, though the exchanges of the object's worker fail", async () => {
  const object = new HourObject(world, "handlers", "shop");
  await object.queue.addJob("email", null);
  await object.stub.act("refuseLeases");
  await object.queue.addJob("email", null);
  await object.spend(11 * MINUTE_MS);
  await object.stub.endAt(object.timeline.now + 5 * MINUTE_MS);
  await object.spend(4 * MINUTE_MS);
  expect((await object.queue.counts()).waiting).toBeGreaterThanOrEqual(1);
  // It deletes all that the object stores.
  await object.spend(2 * MINUTE_MS);
  expect(await object.queue.counts()).toMatchObject({ waiting: 0, active: 0, completed: 0 });
});
