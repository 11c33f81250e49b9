import { everything, type Plugin, Queue } from "@quayside/core";
import type { ExchangeReply } from "@quayside/core/engine";
import type { DriverUnderTest, OpenDriver, TestRunner } from "@quayside/testing";
import { officeHours } from "./office-hours.ts";

const HOUR = 3_600_000;
const QUEUE = "mail";
const tags = ["office hours"];

/** Plugins of a driver that has everything, and office hours from 9 to 17 h. The clocks of tests start at midnight, UTC. */
export const withOfficeHours = (): readonly Plugin[] => [
  officeHours({ from: "09:00", to: "17:00", timeZone: "UTC" }),
  ...everything(),
];

/** The cases of the plugin, for drivers that have the plugins of `withOfficeHours`. */
export function officeHoursCases({ describe, it, expect }: TestRunner, open: OpenDriver): void {
  const test = (name: string, run: (under: DriverUnderTest, queue: Queue) => Promise<void>) =>
    it(name, async () => {
      const under = await open();
      const queue = new Queue(QUEUE, under.driver, { clock: under.clock });
      try {
        await run(under, queue);
      } finally {
        await queue.stop({ timeout: 0 });
        await under.close();
      }
    });
  const claimer = ({ driver }: DriverUnderTest) => {
    let exchange = 0;
    return (limit: number, prefetch = 0): Promise<ExchangeReply> =>
      driver.exchange({
        ...{ worker: `worker-${++exchange}`, liveness: "time", leaseMs: HOUR, exchange: 1, settle: [], running: [] },
        claim: { limit, ...(prefetch > 0 && { prefetch }), queues: [{ queue: QUEUE }] },
      });
  };

  describe("office hours", () => {
    test("a tagged job starts when they begin, one without the tag at once", async (under, queue) => {
      const ran: string[] = [];
      queue.on("job:email", (_, { id }) => void ran.push(id));
      const tagged = await queue.addJob("email", null, { tags });
      const plain = await queue.addJob("email", null);
      await queue.drain();
      expect(ran).toEqual([plain]);
      const begin = under.clock.now() + 9 * HOUR;
      expect(await queue.get(tagged)).toMatchObject({ state: "delayed", availableAt: begin, attempts: 0 });
      await under.advance(9 * HOUR - 1);
      await queue.drain();
      expect(ran).toEqual([plain]);
      await under.advance(1);
      await queue.drain();
      expect(ran).toEqual([plain, tagged]);
    });

    test("while they last a tagged job starts at once; at their end the next day's begin is waited for", async (under, queue) => {
      const claim = claimer(under);
      await under.advance(17 * HOUR - 1);
      const first = await queue.addJob("email", null, { tags });
      expect((await claim(5)).jobs.map(({ job }) => job.id)).toEqual([first]);
      const second = await queue.addJob("email", null, { tags });
      await under.advance(1);
      expect((await claim(5)).jobs).toEqual([]);
      expect(await queue.get(second)).toMatchObject({ state: "delayed", availableAt: under.clock.now() + 16 * HOUR });
    });

    test("of 250 tagged jobs none holds up a job behind them, and all start in their order", async (under, queue) => {
      const claim = claimer(under);
      const ids = await queue.addJobs(Array.from({ length: 250 }, () => ({ name: "email", payload: null, tags })));
      const plain = await queue.addJob("email", null);
      const found: string[] = [];
      for (let time = 0; time < 4; time++) found.push(...(await claim(10)).jobs.map(({ job }) => job.id));
      expect(found).toEqual([plain]);
      await under.advance(9 * HOUR);
      expect((await claim(300)).jobs.map(({ job }) => job.id)).toEqual(ids);
    });

    test("a tagged job is never held ahead, so that none starts after their end", async (under, queue) => {
      const claim = claimer(under);
      await under.advance(10 * HOUR);
      await queue.addJobs(Array.from({ length: 3 }, () => ({ name: "email", payload: null, tags })));
      expect((await claim(3, 2)).jobs).toHaveLength(1);
    });

    test("a job that an operator promotes meanwhile is put off again", async (under, queue) => {
      const claim = claimer(under);
      const id = await queue.addJob("email", null, { tags, delay: "1h" });
      await queue.promote(id);
      expect((await claim(5)).jobs).toEqual([]);
      expect(await queue.get(id)).toMatchObject({ state: "delayed", availableAt: under.clock.now() + 9 * HOUR });
    });

    test("a worker waits for their begin and does not ask before", async (under, queue) => {
      await queue.addJob("email", null, { tags });
      const claim = claimer(under);
      await claim(5);
      expect((await claim(5)).nextWakeMs).toBe(9 * HOUR);
      expect(await under.driver.nextWake([QUEUE])).toBe(9 * HOUR);
    });
  });
}
