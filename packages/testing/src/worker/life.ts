import { seededRandom } from "../seeded-random.ts";
import { codeOf } from "./error-code.ts";
import { gather, heldHandler, next, topic } from "./support.ts";

/** Test cases about calls of `run`, `start`, `stop` and `drain` in any order. */
export const lifeCases = topic("life cycle", (it) => {
  it("R34: run() during a drain keeps the queue worked after it", async ({ expect, queue }) => {
    const mail = queue();
    const { run, begun, finish } = heldHandler();
    mail.on("job:held", run);
    mail.on("job:email", () => "sent");
    await mail.addJob("held", null);
    const draining = mail.drain();
    await begun;
    await mail.run();
    finish("done");
    await draining;
    const completed = next(mail, "completed");
    await mail.addJob("email", null);
    expect(await completed).toMatchObject({ result: "sent" });
  });

  it("R34: run(), stop(), run() without waiting works; stop(), run(), stop() does not", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => "sent");
    const calls = [mail.run(), mail.stop(), mail.run()].map(codeOf);
    expect(await Promise.all(calls)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
    const completed = next(mail, "completed");
    await mail.addJob("email", null);
    await completed;
    await Promise.all([mail.stop(), mail.run(), mail.stop()]);
    const id = await mail.addJob("email", null);
    expect(await mail.get(id)).toMatchObject({ state: "waiting" });
  });

  it("R34: run() while it stops starts again once that is over", async ({ expect, queue }) => {
    const mail = queue();
    const { run, begun, finish } = heldHandler();
    mail.on("job:held", run);
    mail.on("job:email", () => "sent");
    await mail.addJob("held", null);
    await mail.run();
    await begun;
    const stopped = mail.stop();
    const running = mail.run();
    finish("done");
    await Promise.all([stopped, running]);
    const completed = next(mail, "completed", ({ job }) => job.name === "email");
    await mail.addJob("email", null);
    await completed;
    expect(await mail.counts()).toMatchObject({ completed: 2, active: 0 });
  });

  it("R34: a shorter timeout shortens a stop() that waits", async ({ expect, queue }) => {
    const mail = queue();
    const { run, begun, aborted } = heldHandler({ heeds: true });
    mail.on("job:held", run);
    await mail.addJob("held", null);
    await mail.run();
    await begun;
    const long = mail.stop({ timeout: "1h" });
    await mail.stop({ timeout: 0 });
    await Promise.all([long, aborted]);
    expect(await mail.counts()).toMatchObject({ waiting: 1, active: 0 });
  });

  it("R12: a handler that ignores its signal is reported once as stuck, and keeps its slot when the queue is run again", async ({
    advance,
    expect,
    queue,
  }) => {
    const mail = queue();
    const { run, begun, finish } = heldHandler();
    let others = 0;
    let most = 0;
    let at = 0;
    mail.on("job:held", run);
    mail.on("job:email", async () => {
      most = Math.max(most, ++at);
      others++;
      await Promise.resolve();
      at--;
    });
    const stuck = gather(mail, "stuck");
    const held = await mail.addJob("held", null, { maxAttempts: 1 });
    await mail.run({ concurrency: 2 });
    await begun;
    const stopped = mail.stop({ timeout: 0 });
    for (let second = 0; second < 6; second++) await advance(1_000);
    await stopped;
    expect(stuck.map(({ job, durationMs }) => [job.id, durationMs >= 5_000])).toEqual([[held, true]]);
    await mail.pause();
    await mail.addJobs(Array.from({ length: 10 }, () => ({ name: "email", payload: null })));
    await mail.remove(held);
    await mail.resume();
    await mail.drain({ concurrency: 2 });
    expect([others, most]).toEqual([10, 1]);
    finish("late");
    await mail.drain({ concurrency: 2 });
    expect(stuck).toHaveLength(1);
  });

  it("R34: every pending call on a closed driver rejects with closed", async ({ driver, expect, queue, under }) => {
    const mine = queue({ driver: await under.another() });
    const { run, begun, finish } = heldHandler();
    mine.on("error", () => {});
    mine.on("job:held", run);
    const id = await mine.addJob("held", null);
    const waiting = codeOf(mine.waitFor(id));
    const draining = codeOf(mine.drain());
    await begun;
    await mine.driver.close();
    finish("late");
    expect(await waiting).toBe("closed");
    expect(await draining).toBe("closed");
    for (const call of [
      () => mine.run(),
      () => mine.drain(),
      () => mine.waitFor(id),
      () => mine.counts(),
      () => mine.addJob("held", null),
      () => mine.cancel(id),
    ])
      expect(await codeOf(call())).toBe("closed");
    await mine.stop();
    await driver.counts("mail");
  });

  it("R34: random interleavings of run, stop and drain end in what was asked last, within the concurrency", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    let at = 0;
    let most = 0;
    mail.on("error", () => {});
    mail.on("job:email", async () => {
      most = Math.max(most, ++at);
      for (let round = 0; round < 3; round++) await Promise.resolve();
      at--;
    });
    for (let seed = 1; seed <= 12; seed++) {
      const random = seededRandom(seed);
      let wanted = "stopped";
      const calls: Promise<unknown>[] = [];
      for (let step = 0; step < 8; step++) {
        const pick = Math.floor(random() * 4);
        if (pick === 0) calls.push(mail.addJob("email", null));
        if (pick === 1) calls.push(mail.run({ concurrency: 3 }));
        if (pick === 2) calls.push(mail.stop({ timeout: random() < 0.5 ? 0 : "1h" }));
        if (pick === 3) calls.push(mail.drain({ concurrency: 3 }));
        if (pick === 1) wanted = "running";
        if (pick === 2) wanted = "stopped";
        for (let turns = random() * 30; turns > 1; turns--) await Promise.resolve();
      }
      const ends = await Promise.all(calls.map(codeOf));
      expect(ends.filter((end) => end !== "fulfilled")).toEqual([]);
      const id = await mail.addJob("email", null);
      if (wanted === "running") await mail.waitFor(id);
      else expect(await mail.get(id)).toMatchObject({ state: "waiting" });
      await mail.stop();
      await mail.clear();
    }
    expect(most).toBeLessThanOrEqual(3);
  });

  it("R34: random interleavings of a worker's start, stop, drain and processNext end in what was asked last", async ({
    driver,
    expect,
    queue,
    worker,
  }) => {
    const mail = queue();
    let at = 0;
    let most = 0;
    const run = async () => {
      most = Math.max(most, ++at);
      for (let round = 0; round < 3; round++) await Promise.resolve();
      at--;
    };
    const one = worker(driver, { concurrency: 3, queues: [{ name: mail.name, run }] });
    for (let seed = 1; seed <= 12; seed++) {
      const random = seededRandom(seed);
      let wanted = "stopped";
      const calls: Promise<string | undefined>[] = [];
      for (let step = 0; step < 8; step++) {
        const pick = Math.floor(random() * 5);
        const acts = [
          () => mail.addJob("email", null),
          () => one.start(),
          () => one.stop({ timeout: random() < 0.5 ? 0 : "1h" }),
          () => one.drain(),
          () => one.processNext(),
        ];
        const ends = (acts[pick] as () => Promise<unknown>)();
        // The call is only for a stopped worker; otherwise it rejects.
        calls.push(pick === 4 ? codeOf(ends).then((end) => (end === "conflict" ? "fulfilled" : end)) : codeOf(ends));
        if (pick === 1) wanted = "running";
        if (pick === 2) wanted = "stopped";
        for (let turns = random() * 30; turns > 1; turns--) await Promise.resolve();
      }
      expect((await Promise.all(calls)).filter((end) => end !== "fulfilled")).toEqual([]);
      const id = await mail.addJob("email", null);
      if (wanted === "running") await mail.waitFor(id);
      else expect(await mail.get(id)).toMatchObject({ state: "waiting" });
      await one.stop();
      await mail.clear();
    }
    expect(most).toBeLessThanOrEqual(3);
  });
});
