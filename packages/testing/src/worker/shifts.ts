import type { Driver } from "@quayside/core";
import type { WorkerSession } from "@quayside/core/engine";
import { gate, gather, heldHandler, next, QUEUE, spyOnExchanges, topic, wrap } from "./support.ts";

/**
 * Wraps a driver so that the case begins and ends its worker's sessions. With `begun`, the first session begins at
 * once.
 */
function steered(driver: Driver, { begun }: { readonly begun: boolean }) {
  const shifts = new Set<WorkerSession>();
  const locks: string[] = [];
  return {
    locks,
    driver: wrap(driver, {
      async register(worker) {
        locks.push("taken");
        const { liveness, leave } = (await driver.register(worker)) ?? { liveness: "time", leave() {} };
        return {
          liveness,
          leave() {
            locks.push("given back");
            leave();
          },
        };
      },
      onActiveChange(shift) {
        shifts.add(shift);
        if (begun) shift.begin();
        return () => shifts.delete(shift);
      },
    }),
    begin: () => {
      for (const shift of shifts) shift.begin();
    },
    end: () => Promise.all([...shifts].map((shift) => shift.end())),
    look: () => {
      for (const shift of shifts) shift.look();
    },
    get attended() {
      return shifts.size > 0;
    },
  };
}

/** Test cases about workers whose driver decides when they are active: hidden pages, tabs that take turns. */
export const shiftCases = topic("shifts", (it) => {
  it("R8: a worker that may not work yet takes no lock and claims nothing; it starts when it may", async ({
    driver,
    expect,
    queue,
  }) => {
    const tab = steered(driver, { begun: false });
    const mail = queue({ driver: tab.driver });
    mail.on("job:email", (payload) => payload);
    await mail.addJob("email", 1);
    await mail.run();
    expect(tab.locks).toEqual([]);
    expect(await mail.counts()).toMatchObject({ waiting: 1, active: 0 });
    const completed = next(mail, "completed");
    tab.begin();
    expect((await completed).job.payload).toBe(1);
    expect(tab.locks).toEqual(["taken"]);
  });

  it("R40: a worker that must let go makes its last round although the event loop takes no other turn", async ({
    driver,
    expect,
    queue,
    under,
  }) => {
    const tab = steered(driver, { begun: true });
    const { clock } = under;
    const turned = gate();
    const frozen = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after: (ms: number, run: () => void) => clock.after(ms, run),
      nextTask: () => turned.opened,
    };
    const mail = queue({ driver: tab.driver, clock: frozen });
    const active = next(mail, "active");
    mail.on("job:email", () => "sent");
    const id = await mail.addJob("email", null);
    await mail.run();
    await active;
    for (let round = 0; round < 50; round++) await undefined;
    await tab.end();
    expect(await mail.get(id)).toMatchObject({ state: "completed", result: "sent" });
    turned.open();
  });

  it("R14: a worker that must let go aborts its handlers and gives back their jobs, not counted, and its lock", async ({
    driver,
    expect,
    queue,
    under,
  }) => {
    const tab = steered(driver, { begun: true });
    const mail = queue({ driver: tab.driver });
    const { run, begun, aborted, finish } = heldHandler();
    const released = gather(mail, "released");
    mail.on("job:email", run);
    const id = await mail.addJob("email", null);
    await mail.run();
    await begun;
    const ended = tab.end();
    expect((await aborted).code).toBe("closed");
    await ended;
    expect(await (await under.another()).get(QUEUE, id)).toMatchObject({
      state: "waiting",
      attempts: 0,
      interruptions: 0,
    });
    expect(released.map(({ job }) => job.id)).toEqual([id]);
    expect(tab.locks).toEqual(["taken", "given back"]);
    finish("too late");
  });

  it("R12: what comes back after its worker had to let go counts for nothing, and its slot is free again then", async ({
    driver,
    expect,
    queue,
  }) => {
    const tab = steered(driver, { begun: true });
    const mail = queue({ driver: tab.driver });
    const first = heldHandler();
    const second = heldHandler();
    const runs = [first.run, second.run];
    const done = gather(mail, "completed");
    mail.on("job:email", (payload, ctx) => runs.shift()?.(payload, ctx));
    await mail.addJob("email", null);
    await mail.run({ concurrency: 1 });
    await first.begun;
    await tab.end();
    tab.begin();
    first.finish("late");
    await second.begun;
    expect(done).toEqual([]);
    const completed = next(mail, "completed");
    second.finish("in time");
    expect((await completed).result).toBe("in time");
  });

  it("R8: a worker that may work again does so as a new one, as often as it is told", async ({
    driver,
    expect,
    worker,
    queue,
  }) => {
    const tab = steered(driver, { begun: true });
    const ran: unknown[] = [];
    const one = worker(tab.driver, { queues: [{ name: QUEUE, run: (job) => ran.push(job.payload) }] });
    const keys = new Set<string>();
    await one.start();
    for (let round = 0; round < 3; round++) {
      const completed = next(one, "completed");
      await queue().addJob("email", round);
      await completed;
      keys.add(one.id);
      await tab.end();
      tab.begin();
    }
    expect(ran).toEqual([0, 1, 2]);
    expect(keys.size).toBe(3);
  });

  it("a worker told to begin and to let go before it has its lock keeps neither lock nor jobs", async ({
    driver,
    expect,
    queue,
  }) => {
    const tab = steered(driver, { begun: false });
    const mail = queue({ driver: tab.driver });
    mail.on("job:email", () => {});
    await mail.addJob("email", null);
    await mail.run();
    tab.begin();
    await tab.end();
    expect(await mail.counts()).toMatchObject({ waiting: 1, active: 0 });
    const idle = next(mail, "idle");
    tab.begin();
    await idle;
    expect(tab.locks.filter((lock) => lock === "taken").length).toBe(
      tab.locks.filter((lock) => lock === "given back").length + 1,
    );
    expect(await mail.counts()).toMatchObject({ waiting: 0, active: 0, completed: 1 });
  });

  it("a worker that is stopped between its shifts stops, and is told of no other", async ({
    driver,
    expect,
    queue,
  }) => {
    const tab = steered(driver, { begun: true });
    const mail = queue({ driver: tab.driver });
    mail.on("job:email", () => {});
    await mail.run();
    await tab.end();
    await mail.stop();
    expect(tab.attended).toBe(false);
  });

  it("what is left of maxJobs goes over to the next shift", async ({ driver, expect, queue }) => {
    const tab = steered(driver, { begun: true });
    const mail = queue({ driver: tab.driver });
    const first = next(mail, "completed");
    mail.on("job:email", () => {});
    await mail.addJob("email", 1);
    await mail.run({ maxJobs: 2 });
    await first;
    await tab.end();
    await mail.addJobs([2, 3].map((payload) => ({ name: "email", payload })));
    const second = next(mail, "completed");
    tab.begin();
    await second;
    await mail.stop();
    expect(await mail.counts()).toMatchObject({ waiting: 1, completed: 2 });
  });

  it("R10: told that another worker has died, a worker without room looks too", async ({ driver, expect, queue }) => {
    const spy = spyOnExchanges(driver);
    const tab = steered(spy.driver, { begun: true });
    const mail = queue({ driver: tab.driver });
    const { run, begun, finish } = heldHandler();
    mail.on("job:email", run);
    await mail.addJob("email", null);
    await mail.run({ concurrency: 1 });
    await begun;
    const before = spy.seen.length;
    tab.look();
    const completed = next(mail, "completed");
    for (let round = 0; spy.seen.length === before && round < 1_000; round++) await driver.counts(QUEUE);
    expect(spy.seen[before]?.request.claim.limit).toBe(0);
    finish(null);
    await completed;
  });
});
