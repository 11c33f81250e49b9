import { expect, it } from "vitest";
import { mailQueue } from "./support.ts";

const YEAR_MS = 365 * 86_400_000;

// Of workers in the process of their store. A remote one is not told: it looks again when its own timer rings.
it("R24: an idle worker looks again when any call finds that the clock was set back by a year", async () => {
  const { clock, queue } = mailQueue();
  let ticks = 0;
  queue.on("job:tick", () => void ticks++);
  clock.jump(YEAR_MS);
  await queue.schedule("tick", { every: "1m", name: "tick", payload: null });
  await queue.run();
  await clock.advance(1_000);
  clock.jump(-YEAR_MS);
  await queue.counts();
  await clock.advance(70_000);
  expect(ticks).toBe(1);
  await queue.stop();
});
