import { attacks, odd, outcome, said } from "./kit.ts";

attacks("N: filters, cursors and ids", (row) => {
  const lists: readonly (readonly [input: string, came: string, query: unknown])[] = [
    ["list(null)", "refused invalid_option, names query", null],
    ["list of a text", "refused invalid_option, names query", "waiting"],
    ["list: limit 0", "refused invalid_option, names limit", { limit: 0 }],
    ["list: limit 1,001", "refused invalid_option, names limit", { limit: 1_001 }],
    ["list: limit 2.5", "refused invalid_option, names limit", { limit: 2.5 }],
    ["list: limit of text", "refused invalid_option, names limit", { limit: "2" }],
    ["list: limit null", "refused invalid_option, names limit", { limit: null }],
    ["list: a state that there is not", "refused invalid_option, names state", { state: "done" }],
    ["list: state null", "refused invalid_option, names state", { state: null }],
    ["list: state of a list", "refused invalid_option, names state", { state: ["waiting"] }],
    ["list: tags of a text", "refused invalid_option, names tags", { tags: "red" }],
    ["list: tags null", "refused invalid_option, names tags", { tags: null }],
    ["list: no tags", "3 of 3", { tags: [] }],
    ["list: a tag that is a number", "refused invalid_option, names tags[0]", { tags: [7] }],
    ["list: a filter by name", "refused invalid_option, names name", { name: "odd" }],
    ["list: a word that is not known", "refused invalid_option, names order", { order: "desc" }],
    ["list: another queue", "refused invalid_option, names queue", { queue: "other" }],
    ["list: cursor null", "refused invalid_option, names cursor", { cursor: null }],
    ["list: cursor of a number", "refused invalid_option, names cursor", { cursor: 7 }],
    ["list: cursor empty", "refused invalid_option, names cursor", { cursor: "" }],
    ["list: cursor of words", "refused invalid_option, names cursor", { cursor: "page two" }],
    ["list: cursor of half an escape", "refused invalid_option, names cursor", { cursor: "%E0%A4%A" }],
    ["list: cursor of JSON", "refused invalid_option, names cursor", { cursor: "[]" }],
    [
      "list: cursor of a stretch beyond the last",
      "refused invalid_option, names cursor",
      { cursor: encodeURIComponent('[99,"ready","mail",0,0,0,"x"]') },
    ],
    [
      "list: cursor of a stretch before the first",
      "refused invalid_option, names cursor",
      { cursor: encodeURIComponent('[-1,"ready","mail",0,0,0,"x"]') },
    ],
    [
      "list: cursor of another queue",
      "refused invalid_option, names cursor",
      { cursor: encodeURIComponent('[1,"ready","other",0,0,0,"x"]') },
    ],
    [
      "list: cursor of a place that there is not",
      "refused invalid_option, names cursor",
      { cursor: encodeURIComponent('[1,"nowhere","mail",0,0,0,"x"]') },
    ],
    [
      "list: cursor of __proto__",
      "refused invalid_option, names cursor",
      { cursor: encodeURIComponent('{"__proto__":1}') },
    ],
    [
      "list: cursor with more than a key",
      "refused invalid_option, names cursor",
      { cursor: encodeURIComponent('[1,"ready","mail",0,0,0,"x",1,2,3]') },
    ],
    ["list: cursor of a million characters", "refused invalid_option, names cursor", { cursor: "x".repeat(1_000_000) }],
  ];
  for (const [input, came, query] of lists)
    row(input, came, async ({ queue }) => {
      await queue.addJobs([
        { name: "odd", payload: 1, tags: ["red"] },
        { name: "odd", payload: 2, delay: "1h" },
        { name: "even", payload: 3 },
      ]);
      return outcome(async () => `${(await queue.list(odd(query))).jobs.length} of 3`);
    });
  row("list: every page of one, by its cursors", "[0,1,2,3,4]", async ({ queue }) => {
    await queue.addJobs(
      Array.from({ length: 5 }, (_, payload) => ({ name: "odd", payload, delay: payload % 2 ? "1h" : 0 })),
    );
    const seen: unknown[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < 20; page++) {
      const { jobs, cursor: next } = await queue.list({ limit: 1, ...(cursor !== undefined && { cursor }) });
      seen.push(...jobs.map(({ payload }) => payload));
      cursor = next;
      if (cursor === undefined) break;
    }
    return said(seen.sort());
  });
  row("list: a cursor of another state's list", "refused invalid_option, names cursor", async ({ queue }) => {
    await queue.addJobs(Array.from({ length: 5 }, (_, payload) => ({ name: "odd", payload })));
    const { cursor } = await queue.list({ limit: 1, state: "waiting" });
    return outcome(async () => (await queue.list({ state: "completed", cursor: odd(cursor) })).jobs.length);
  });

  const clears: readonly (readonly [input: string, came: string, which: unknown])[] = [
    ["clear(null)", "refused invalid_option, names filter, 2 of 2 left", null],
    ["clear of a number", "refused invalid_option, names filter, 2 of 2 left", 7],
    ["clear of a list", "refused invalid_option, names filter, 2 of 2 left", ["waiting"]],
    ["clear of a state that there is not", "refused invalid_option, names state, 2 of 2 left", "done"],
    ["clear of an empty text", "refused invalid_option, names state, 2 of 2 left", ""],
    ["clear: state null", "refused invalid_option, names state, 2 of 2 left", { state: null }],
    ["clear: a word that is not known", "refused invalid_option, names tag, 2 of 2 left", { tag: "red" }],
    ["clear: no tags", "refused invalid_option, names tags, 2 of 2 left", { tags: [] }],
    ["clear: tags of a text", "refused invalid_option, names tags, 2 of 2 left", { tags: "red" }],
    ["clear: a tag that there is not", '{"affected":0}, 2 of 2 left', { tags: ["blue"] }],
    ["clear: name empty", "refused invalid_option, names name, 2 of 2 left", { name: "" }],
    ["clear: name null", "refused invalid_option, names name, 2 of 2 left", { name: null }],
    ["clear: olderThan -1", "refused invalid_option, names olderThan, 2 of 2 left", { olderThan: -1 }],
    ["clear: olderThan of a date", "refused invalid_option, names olderThan, 2 of 2 left", { olderThan: new Date(0) }],
    ["clear: olderThan null", "refused invalid_option, names olderThan, 2 of 2 left", { olderThan: null }],
    ["clear: olderThan 0", '{"affected":2}, 0 of 2 left', { olderThan: 0 }],
    ["clear: olderThan 100 years", '{"affected":0}, 2 of 2 left', { olderThan: 100 * 365 * 86_400_000 }],
    ["clear: an id, which is no filter", "refused invalid_option, names id, 2 of 2 left", { id: "x" }],
    [
      "clear: undefined of every field",
      '{"affected":2}, 0 of 2 left',
      { state: undefined, name: undefined, tags: undefined, olderThan: undefined },
    ],
  ];
  for (const [input, came, which] of clears)
    row(input, came, async ({ queue, clock }) => {
      await queue.addJobs([
        { name: "odd", payload: 1, tags: ["red"] },
        { name: "even", payload: 2 },
      ]);
      await clock.advance(1);
      const end = await outcome(() => queue.clear(odd(which)));
      return `${end}, ${await queue.size()} of 2 left`;
    });

  const retries: readonly (readonly [input: string, came: string, filter: unknown])[] = [
    ["retryAll(null)", "refused invalid_option, names filter, 0 of 2 in line", null],
    ["retryAll of a text", "refused invalid_option, names filter, 0 of 2 in line", "failed"],
    ["retryAll: state waiting", "refused invalid_option, names state, 0 of 2 in line", { state: "waiting" }],
    ["retryAll: state empty", "refused invalid_option, names state, 0 of 2 in line", { state: "" }],
    ["retryAll: no tags", "refused invalid_option, names tags, 0 of 2 in line", { tags: [] }],
    ["retryAll: a word that is not known", "refused invalid_option, names ids, 0 of 2 in line", { ids: ["x"] }],
    ["retryAll: everything", '{"affected":2}, 2 of 2 in line', {}],
  ];
  for (const [input, came, filter] of retries)
    row(input, came, async ({ queue }) => {
      queue.on("job:odd", () => {
        throw new Error("no");
      });
      await queue.addJobs([
        { name: "odd", payload: 1, maxAttempts: 1 },
        { name: "odd", payload: 2, maxAttempts: 1 },
      ]);
      await queue.drain();
      const end = await outcome(() => queue.retryAll(odd(filter)));
      return `${end}, ${await queue.size()} of 2 in line`;
    });

  row(
    "list: a cursor that lies before its queue, in another",
    "does not show the other queue's jobs",
    async ({ queue, open }) => {
      await open("aaa").addJob("odd", "secret");
      await queue.addJob("odd", 1);
      const ends: string[] = [];
      for (const place of ["ready", "blocked", "finished", "a"])
        for (const stretch of [0, 1, 2, 3])
          ends.push(
            await outcome(async () => {
              const cursor = encodeURIComponent(JSON.stringify([stretch, place, "a", -100, 0, 0, ""]));
              return (await queue.list({ cursor })).jobs.map(({ payload }) => payload).join(" ");
            }),
          );
      return `${ends.some((end) => end.includes("secret")) ? "shows" : "does not show"} the other queue's jobs`;
    },
  );
  const ids: readonly (readonly [input: string, id: unknown, name: string])[] = [
    ["NUL", "\u0000", "\u0000"],
    ["__proto__", "__proto__", "__proto__"],
    ["what looks generated", "2s-mjuohs00-htgoopog00-aaaaaaaa", "ID"],
    ["what looks generated, out of range", "zz-zzzzzzzzzz-zzzzzzzzzzz-zzzzzzzz", "ID"],
  ];
  const strange: readonly (readonly [input: string, id: unknown])[] = [
    ["undefined", undefined],
    ["null", null],
    ["a number", 7],
    ["an object", {}],
    ["a symbol", Symbol("s")],
    ["an empty text", ""],
    ["a lone surrogate", "\ud800"],
  ];
  for (const verb of ["get", "cancel", "remove", "retry", "promote", "waitFor", "update"] as const)
    for (const [input, id] of strange)
      row(`${verb}: ${input}`, "refused invalid_option, names id, 1 of 1", async ({ queue }) => {
        await queue.addJob("odd", 1);
        return `${await outcome(() => queue[verb](odd(id), {}))}, ${await queue.size()} of 1`;
      });
  const unknown = {
    get: () => "done",
    cancel: () => '{"affected":0}',
    remove: () => '{"affected":0}',
    retry: (name: string) => `refused job_not_found: Queue mail has no job ${name}.`,
    promote: (name: string) => `refused job_not_found: Queue mail has no job ${name}.`,
  };
  for (const verb of ["get", "cancel", "remove", "retry", "promote"] as const)
    for (const [input, id, name] of ids)
      row(`${verb}: ${input}`, `${unknown[verb](name)}, 1 of 1`, async ({ queue }) => {
        await queue.addJob("odd", 1);
        return `${await outcome(() => queue[verb](odd(id)))}, ${await queue.size()} of 1`;
      });
});
