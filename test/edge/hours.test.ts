import { evictDurableObject, reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, expect, inject, it } from "vitest";
import page from "../../docs/cost.md?raw";
import { HOUR_CASES } from "./hour/cases.ts";
import { hourOf } from "./hour/hour.ts";

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
const { nightly } = inject("hostile");

it.for(Object.entries(HOUR_CASES).filter(([, { slow }]) => nightly || !slow))(
  "an hour costs what the page says: %s",
  { timeout: 60_000 },
  async ([title, hour]) => {
    const spent = await hourOf(hour, { queues: env.HOUR_QUEUE, shops: env.HOUR_SHOP, evict });
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
