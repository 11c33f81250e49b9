import { drain } from "@quayside/testing";
import { attacks, ended, odd, outcome } from "./kit.ts";

attacks("X: expiry", (row) => {
  const alone: readonly (readonly [input: string, came: string, options: unknown])[] = [
    ["expiresIn: 0", "refused invalid_option, names expiresIn", { expiresIn: 0 }],
    ["expiresIn: 0.4", "refused invalid_option, names expiresIn", { expiresIn: 0.4 }],
    ["expiresIn: -1", "refused invalid_option, names expiresIn", { expiresIn: -1 }],
    ["expiresIn: NaN", "refused invalid_option, names expiresIn", { expiresIn: Number.NaN }],
    ["expiresIn: null", "refused invalid_option, names expiresIn", { expiresIn: null }],
    ["expiresIn: 100 years", "completed (1 runs, 1 of 3)", { expiresIn: 100 * 365 * 86_400_000 }],
    ["expiresIn: 101 years", "refused invalid_option, names expiresIn", { expiresIn: 101 * 365 * 86_400_000 }],
    ["expiresIn: 1 ms", "completed (1 runs, 1 of 3)", { expiresIn: 1 }],
    [
      "expiresIn as long as its delay",
      "failed expired: The job was not started before it expired. (0 runs, 0 of 3)",
      { expiresIn: "1m", delay: "1m" },
    ],
    ["expiresIn a ms longer than its delay", "completed (1 runs, 1 of 3)", { expiresIn: 60_001, delay: "1m" }],
    [
      "expiresIn shorter than its delay",
      "failed expired: The job was not started before it expired. (0 runs, 0 of 3)",
      { expiresIn: "1s", delay: "1m" },
    ],
    ["expiresIn shorter than its delay, nothing kept", "gone", { expiresIn: "1s", delay: "1m", keep: { failed: 0 } }],
    [
      "expiresIn before availableAt",
      "failed expired: The job was not started before it expired. (0 runs, 0 of 3)",
      { expiresIn: "1s", availableAt: Date.UTC(2026, 0, 2) },
    ],
    [
      "expiresIn and 100 years of delay",
      "delayed (0 runs, 0 of 3)",
      { expiresIn: 100 * 365 * 86_400_000, delay: 100 * 365 * 86_400_000 },
    ],
  ];
  for (const [input, came, options] of alone)
    row(input, came, async ({ queue, clock }) => {
      let runs = 0;
      queue.on("job:odd", () => void runs++);
      let id = "";
      const end = await outcome(async () => {
        id = await queue.addJob("odd", 1, odd(options));
      });
      if (id === "") return end;
      await drain(queue, { clock });
      return ended((await queue.get(id)) as never, runs);
    });
  row(
    "it expires between two attempts",
    "failed expired: The job was not started before it expired. (1 runs, 1 of 3)",
    (room) =>
      room.ends(
        () => {
          throw new Error("no");
        },
        { expiresIn: "30s", backoff: "1m", maxAttempts: 3 },
      ),
  );
  row("it expires while it runs", "completed with done (1 runs, 1 of 2)", (room) =>
    room.ends(
      async () => {
        await room.clock.advance("1m");
        return "done";
      },
      { expiresIn: "30s" },
    ),
  );
  row(
    "it expires while it runs, and fails",
    "failed expired: The job was not started before it expired. (1 runs, 1 of 3)",
    (room) =>
      room.ends(
        async () => {
          await room.clock.advance("1m");
          throw new Error("late");
        },
        { expiresIn: "30s", maxAttempts: 3 },
      ),
  );
  row("it expires while its queue is paused", "waiting, then failed", async ({ queue, clock }) => {
    queue.on("job:odd", () => "ran");
    await queue.pause();
    const id = await queue.addJob("odd", 1, { expiresIn: "1m" });
    await queue.run();
    await clock.advance("2m");
    const during = (await queue.get(id))?.state;
    await queue.resume();
    await clock.advance(1);
    await queue.stop();
    return `${during}, then ${(await queue.get(id))?.state}`;
  });
  row("it expires behind a group", "failed expired", async ({ queue, clock }) => {
    queue.on("job:odd", async () => {
      await new Promise<void>((resolve) => void clock.after(120_000, resolve));
    });
    const group = { key: "g" };
    await queue.addJob("odd", 1, { group });
    const id = await queue.addJob("odd", 2, { group, expiresIn: "1m" });
    await queue.run();
    for (let step = 0; step < 30; step++) await clock.advance("10s");
    await queue.stop();
    const { state, error } = (await queue.get(id)) ?? {};
    return `${state} ${error?.code}`;
  });
  row(
    "an expired job is retried",
    'failed; {"affected":1,"state":"waiting"}; completed expired: The job was not started before it expired. (1 runs, 1 of 3)',
    async ({ queue, clock }) => {
      let runs = 0;
      queue.on("job:odd", () => void runs++);
      const id = await queue.addJob("odd", 1, { expiresIn: 1, delay: 10 });
      await drain(queue, { clock });
      const before = (await queue.get(id))?.state;
      const reply = await outcome(() => queue.retry(id));
      await drain(queue, { clock });
      return `${before}; ${reply}; ${ended((await queue.get(id)) as never, runs)}`;
    },
  );
  row(
    "an expired job is waited for",
    "refused expired: The job was not started before it expired.",
    async ({ queue, clock }) => {
      queue.on("job:odd", () => "ran");
      const id = await queue.addJob("odd", 1, { expiresIn: 1, delay: 10 });
      const waited = outcome(() => queue.waitFor(id));
      await drain(queue, { clock });
      return waited;
    },
  );
  row("a thousand that expire at once", "0 runs, 999 failed", async ({ queue, clock }) => {
    let runs = 0;
    queue.on("job:odd", () => void runs++);
    await queue.configure({ keep: { failed: 1_000 } });
    await queue.addJobs(Array.from({ length: 999 }, () => ({ name: "odd", payload: 1, expiresIn: 1, delay: 10 })));
    await drain(queue, { clock });
    return `${runs} runs, ${(await queue.counts()).failed} failed`;
  });
  row("it expires while the clock is set back", "completed undefined", async ({ queue, clock }) => {
    queue.on("job:odd", () => "ran");
    const id = await queue.addJob("odd", 1, { expiresIn: "1h", delay: "30m" });
    clock.jump(-86_400_000);
    for (let hour = 0; hour < 30; hour++) {
      await queue.drain();
      await clock.advance("1h");
    }
    await queue.drain();
    const { state, error } = (await queue.get(id)) ?? {};
    return `${state} ${error?.code}`;
  });
  row("a dedupe key of an expired job is free again", "false, 1 runs", async ({ queue, clock }) => {
    let runs = 0;
    queue.on("job:odd", () => void runs++);
    const first = await queue.addJob("odd", 1, { expiresIn: 1, delay: 10, dedupe: { key: "d" } });
    await drain(queue, { clock });
    const second = await queue.addJob("odd", 2, { dedupe: { key: "d" } });
    await drain(queue, { clock });
    return `${first === second}, ${runs} runs`;
  });
});
