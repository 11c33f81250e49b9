import { drain } from "@quayside/testing";
import { attacks, odd, outcome, said } from "./kit.ts";

attacks("J: limits of queues and groups", (row) => {
  const settings: readonly (readonly [input: string, came: string, options: unknown])[] = [
    ["configure(undefined)", "refused invalid_option, names options; 6 runs, 6 at once, 0 ms, 6 kept", undefined],
    ["configure(null)", "refused invalid_option, names options; 6 runs, 6 at once, 0 ms, 6 kept", null],
    ["configure of nothing", "done; 6 runs, 6 at once, 0 ms, 6 kept", {}],
    [
      "configure of a word that is not known",
      "refused invalid_option, names maxactive; 6 runs, 6 at once, 0 ms, 6 kept",
      { maxactive: 1 },
    ],
    ["maxActive: 0", "refused invalid_option, names maxActive; 6 runs, 6 at once, 0 ms, 6 kept", { maxActive: 0 }],
    ["maxActive: -1", "refused invalid_option, names maxActive; 6 runs, 6 at once, 0 ms, 6 kept", { maxActive: -1 }],
    ["maxActive: 1.5", "refused invalid_option, names maxActive; 6 runs, 6 at once, 0 ms, 6 kept", { maxActive: 1.5 }],
    [
      "maxActive: Infinity",
      "refused invalid_option, names maxActive; 6 runs, 6 at once, 0 ms, 6 kept",
      { maxActive: Number.POSITIVE_INFINITY },
    ],
    ["maxActive: text", "refused invalid_option, names maxActive; 6 runs, 6 at once, 0 ms, 6 kept", { maxActive: "2" }],
    [
      "maxActive: a million and one",
      "refused invalid_option, names maxActive; 6 runs, 6 at once, 0 ms, 6 kept",
      { maxActive: 1_000_001 },
    ],
    ["maxActive: null", "done; 6 runs, 6 at once, 0 ms, 6 kept", { maxActive: null }],
    ["maxActive: 2", "done; 6 runs, 2 at once, 0 ms, 6 kept", { maxActive: 2 }],
    ["rateLimit: 0", "refused invalid_option, names rateLimit; 6 runs, 6 at once, 0 ms, 6 kept", { rateLimit: 0 }],
    [
      "rateLimit: false",
      "refused invalid_option, names rateLimit; 6 runs, 6 at once, 0 ms, 6 kept",
      { rateLimit: false },
    ],
    [
      "rateLimit: empty text",
      "refused invalid_option, names rateLimit; 6 runs, 6 at once, 0 ms, 6 kept",
      { rateLimit: "" },
    ],
    [
      "rateLimit: a number",
      "refused invalid_option, names rateLimit; 6 runs, 6 at once, 0 ms, 6 kept",
      { rateLimit: 5 },
    ],
    [
      "rateLimit: a text",
      "refused invalid_option, names rateLimit; 6 runs, 6 at once, 0 ms, 6 kept",
      { rateLimit: "5/s" },
    ],
    ["rateLimit: null", "done; 6 runs, 6 at once, 0 ms, 6 kept", { rateLimit: null }],
    [
      "rateLimit: without per",
      "refused invalid_option, names rateLimit.per; 6 runs, 6 at once, 0 ms, 6 kept",
      { rateLimit: { max: 1 } },
    ],
    [
      "rateLimit: without max",
      "refused invalid_option, names rateLimit.max; 6 runs, 6 at once, 0 ms, 6 kept",
      { rateLimit: { per: "1s" } },
    ],
    [
      "rateLimit: max 0",
      "refused invalid_option, names rateLimit.max; 6 runs, 6 at once, 0 ms, 6 kept",
      { rateLimit: { max: 0, per: "1s" } },
    ],
    [
      "rateLimit: per 0",
      "refused invalid_option, names rateLimit.per; 6 runs, 6 at once, 0 ms, 6 kept",
      { rateLimit: { max: 1, per: 0 } },
    ],
    [
      "rateLimit: per 0.4 ms",
      "refused invalid_option, names rateLimit.per; 6 runs, 6 at once, 0 ms, 6 kept",
      { rateLimit: { max: 1, per: 0.4 } },
    ],
    ["rateLimit: a million a ms", "done; 6 runs, 6 at once, 0 ms, 6 kept", { rateLimit: { max: 1_000_000, per: 1 } }],
    [
      "rateLimit: one in 100 years",
      "done; 1 runs, 1 at once, 0 ms, 1 kept",
      { rateLimit: { max: 1, per: 100 * 365 * 86_400_000 } },
    ],
    ["rateLimit: 1 a second", "done; 6 runs, 1 at once, 5000 ms, 6 kept", { rateLimit: { max: 1, per: "1s" } }],
    ["rateLimit: 7 in 3 ms", "done; 6 runs, 6 at once, 0 ms, 6 kept", { rateLimit: { max: 7, per: 3 } }],
    [
      "rateLimit and maxActive",
      "done; 6 runs, 1 at once, 2000 ms, 6 kept",
      { rateLimit: { max: 2, per: "1s" }, maxActive: 1 },
    ],
    ["keep: 0", "refused invalid_option, names keep; 6 runs, 6 at once, 0 ms, 6 kept", { keep: 0 }],
    ["keep: a number", "refused invalid_option, names keep; 6 runs, 6 at once, 0 ms, 6 kept", { keep: 5 }],
    ["keep: null", "refused invalid_option, names keep; 6 runs, 6 at once, 0 ms, 6 kept", { keep: null }],
    [
      "keep: -1 of completed",
      "refused invalid_option, names keep.completed; 6 runs, 6 at once, 0 ms, 6 kept",
      { keep: { completed: -1 } },
    ],
    [
      "keep: NaN of failed",
      "refused invalid_option, names keep.failed; 6 runs, 6 at once, 0 ms, 6 kept",
      { keep: { failed: Number.NaN } },
    ],
    ["keep: 0 of completed", "done; 6 runs, 6 at once, 0 ms, 0 kept", { keep: { completed: 0 } }],
    [
      "keep: of a state that there is not",
      "refused invalid_option, names keep.waiting; 6 runs, 6 at once, 0 ms, 6 kept",
      { keep: { waiting: 1 } },
    ],
  ];
  for (const [input, came, options] of settings)
    row(input, came, async ({ queue, clock }) => {
      let at = 0;
      let most = 0;
      let runs = 0;
      queue.on("job:odd", async () => {
        runs++;
        most = Math.max(most, ++at);
        for (let turn = 0; turn < 20; turn++) await undefined;
        at--;
      });
      const end = await outcome(() => queue.configure(odd(options)));
      await queue.addJobs(Array.from({ length: 6 }, () => ({ name: "odd", payload: null })));
      const start = clock.now();
      await drain(queue, { clock });
      return `${end}; ${runs} runs, ${most} at once, ${clock.now() - start} ms, ${said((await queue.counts()).completed)} kept`;
    });

  const groups: readonly (readonly [input: string, came: string, groups: readonly unknown[]])[] = [
    ["group: one by one", "added; 3 runs, 1 at once", [{ key: "g" }, { key: "g" }, { key: "g" }]],
    [
      "group: limit 2",
      "added; 3 runs, 2 at once",
      [
        { key: "g", limit: 2 },
        { key: "g", limit: 2 },
        { key: "g", limit: 2 },
      ],
    ],
    [
      "group: the limit falls with the last",
      "added; 3 runs, 1 at once",
      [
        { key: "g", limit: 3 },
        { key: "g", limit: 3 },
        { key: "g", limit: 1 },
      ],
    ],
    [
      "group: the last says no limit",
      "added; 3 runs, 3 at once",
      [{ key: "g", limit: 3 }, { key: "g", limit: 3 }, { key: "g" }],
    ],
    [
      "group: limit 10,001",
      "refused invalid_option, names group.limit; 0 runs, 0 at once",
      [{ key: "g", limit: 10_001 }],
    ],
    ["group: limit null", "refused invalid_option, names group.limit; 0 runs, 0 at once", [{ key: "g", limit: null }]],
    ["group: key of a number", "refused invalid_option, names group.key; 0 runs, 0 at once", [{ key: 7 }]],
    ["group: key of __proto__", "added; 2 runs, 1 at once", [{ key: "__proto__" }, { key: "__proto__" }]],
    ["group: keys that differ in case", "added; 2 runs, 2 at once", [{ key: "g" }, { key: "G" }]],
    ["group: keys of slashes", "added; 3 runs, 3 at once", [{ key: "a/b" }, { key: "a" }, { key: "a%2fb" }]],
    ["group: key of 256 characters", "added; 1 runs, 1 at once", [{ key: "k".repeat(256) }]],
    ["group: an empty key", "refused invalid_option, names group.key; 0 runs, 0 at once", [{ key: "" }]],
    ["group: a list", "refused invalid_option, names group; 0 runs, 0 at once", [["g", 2]]],
  ];
  for (const [input, came, given] of groups)
    row(input, came, async ({ queue }) => {
      let at = 0;
      let most = 0;
      let runs = 0;
      queue.on("job:odd", async () => {
        runs++;
        most = Math.max(most, ++at);
        for (let turn = 0; turn < 20; turn++) await undefined;
        at--;
      });
      const end = await outcome(() =>
        queue.addJobs(given.map((group) => ({ name: "odd", payload: null, group: odd(group) }))).then(() => "added"),
      );
      await queue.drain();
      return `${end}; ${runs} runs, ${most} at once`;
    });
  row("a group limit that falls while two of it run", "running at each begin: 1 2 1 1", async ({ queue, clock }) => {
    let at = 0;
    const seen: number[] = [];
    queue.on("job:odd", async () => {
      seen.push(++at);
      await new Promise<void>((resolve) => void clock.after(1_000, resolve));
      at--;
    });
    const add = (limit: number) => queue.addJob("odd", 1, { group: { key: "g", limit } });
    await add(2);
    await add(2);
    await queue.run();
    await clock.advance(10);
    await add(1);
    await add(1);
    await clock.advance(10_000);
    await queue.stop();
    return `running at each begin: ${seen.join(" ")}`;
  });
  row("maxActive falls to 1 while three run", "running at each begin: 1 2 3 1 1 1", async ({ queue, clock }) => {
    let at = 0;
    const seen: number[] = [];
    queue.on("job:odd", async () => {
      seen.push(++at);
      await new Promise<void>((resolve) => void clock.after(1_000, resolve));
      at--;
    });
    await queue.addJobs(Array.from({ length: 6 }, () => ({ name: "odd", payload: 1 })));
    await queue.run({ concurrency: 3 });
    await clock.advance(10);
    await queue.configure({ maxActive: 1 });
    await clock.advance(20_000);
    await queue.stop();
    return `running at each begin: ${seen.join(" ")}`;
  });
  row("a rate limit that is lifted while jobs wait for it", "1, then 4", async ({ queue, clock }) => {
    let runs = 0;
    queue.on("job:odd", () => void runs++);
    await queue.configure({ rateLimit: { max: 1, per: "1h" } });
    await queue.addJobs(Array.from({ length: 4 }, () => ({ name: "odd", payload: 1 })));
    await queue.run();
    await clock.advance(1_000);
    const before = runs;
    await queue.configure({ rateLimit: null });
    await clock.advance(1_000);
    await queue.stop();
    return `${before}, then ${runs}`;
  });
  row("a rate limit, and the clock set back a day", "3 runs within a minute", async ({ queue, clock }) => {
    let runs = 0;
    queue.on("job:odd", () => void runs++);
    await queue.configure({ rateLimit: { max: 1, per: "1s" } });
    await queue.addJobs(Array.from({ length: 3 }, () => ({ name: "odd", payload: 1 })));
    await queue.run();
    await clock.advance(10);
    clock.jump(-86_400_000);
    await clock.advance(60_000);
    await queue.stop();
    return `${runs} runs within a minute`;
  });
});
