import { drain } from "@quayside/testing";
import { attacks, odd, outcome, type Room, said } from "./kit.ts";

/** Adds a flow, works it to its end, and says how many of its jobs ended how. */
async function flows(room: Room, flow: unknown, setUp?: (room: Room) => Promise<unknown>): Promise<string> {
  const { queue, clock } = room;
  const runs: string[] = [];
  queue.on("job:odd", (payload, ctx) => {
    runs.push(String(payload));
    if (payload === "fails") throw new Error("child");
    return ctx.children().map(({ state }) => state);
  });
  await setUp?.(room);
  const before = await queue.size();
  const end = await outcome(() => queue.addFlow(odd(flow)).then(() => "added"));
  const stored = (await queue.size()) - before;
  await drain(queue, { clock });
  const { waiting, delayed, active, completed, failed, cancelled } = await queue.counts();
  return `${end}, ${stored} stored; ran ${runs.join(" ") || "none"}; ${said({ waiting, delayed, active, completed, failed, cancelled })}`;
}

const node = (payload: unknown, more: object = {}) => ({ name: "odd", payload, ...more });
const nested = (levels: number): object => {
  let flow: object = node(0);
  for (let level = 1; level <= levels; level++) flow = node(level, { children: [flow] });
  return flow;
};
const doubled = (levels: number): object => {
  let flow: object = node(0);
  for (let level = 1; level <= levels; level++) flow = node(level, { children: [flow, flow] });
  return flow;
};

attacks("I: flows", (row) => {
  const shapes: readonly (readonly [input: string, came: string, flow: unknown])[] = [
    [
      "flow: null",
      'refused invalid_option, names flow, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      null,
    ],
    [
      "flow: undefined",
      'refused invalid_option, names flow, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      undefined,
    ],
    [
      "flow: a text",
      'refused invalid_option, names flow, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      "album",
    ],
    [
      "flow: a list",
      'refused invalid_option, names flow, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      [node(1)],
    ],
    [
      "flow: without a name",
      'refused invalid_option, names job name, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      { payload: 1 },
    ],
    [
      "flow: children null",
      'added, 1 stored; ran 1; {"waiting":0,"delayed":0,"active":0,"completed":1,"failed":0,"cancelled":0}',
      node(1, { children: null }),
    ],
    [
      "flow: children as text",
      'refused invalid_option, names flow.children, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { children: "two" }),
    ],
    [
      "flow: children as an object",
      'refused invalid_option, names flow.children, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { children: { 0: node(2) } }),
    ],
    [
      "flow: children with a hole",
      'refused invalid_option, names children[0], 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { children: Object.assign(new Array(2), { 1: node(2) }) }),
    ],
    [
      "flow: a child that is null",
      'refused invalid_option, names children[0], 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { children: [null] }),
    ],
    [
      "flow: a child that is a number",
      'refused invalid_option, names children[0], 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { children: [7] }),
    ],
    [
      "flow: no children",
      'added, 1 stored; ran 1; {"waiting":0,"delayed":0,"active":0,"completed":1,"failed":0,"cancelled":0}',
      node(1, { children: [] }),
    ],
    [
      "flow: a child with a payload JSON cannot hold",
      'refused invalid_payload, names payload, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { children: [node(2), node(3n)] }),
    ],
    [
      "flow: a grandchild with a bad option",
      'refused invalid_option, names priority, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { children: [node(2, { children: [node(3, { priority: 500 })] })] }),
    ],
    [
      "flow: options null",
      'refused invalid_option, names options, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { options: null, children: [node(2)] }),
    ],
    [
      "flow: options as text",
      'refused invalid_option, names options, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { options: "fast", children: [node(2)] }),
    ],
    [
      "flow: onFailure of a word that there is not",
      'refused invalid_option, names children[0].onFailure, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { children: [node("fails", { onFailure: "explode", maxAttempts: 1 })] }),
    ],
    [
      "flow: onFailure of the root",
      'added, 1 stored; ran 1; {"waiting":0,"delayed":0,"active":0,"completed":1,"failed":0,"cancelled":0}',
      node(1, { onFailure: "ignore" }),
    ],
    [
      "flow: a child that fails",
      'added, 2 stored; ran fails; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":2,"cancelled":0}',
      node(1, { children: [node("fails", { maxAttempts: 1 })] }),
    ],
    [
      "flow: a child that fails, ignored",
      'added, 2 stored; ran fails 1; {"waiting":0,"delayed":0,"active":0,"completed":1,"failed":1,"cancelled":0}',
      node(1, { children: [node("fails", { onFailure: "ignore", maxAttempts: 1 })] }),
    ],
    [
      "flow: a child twice by its id",
      'added, 2 stored; ran 2 1; {"waiting":0,"delayed":0,"active":0,"completed":2,"failed":0,"cancelled":0}',
      node(1, { children: [node(2, { id: "c" }), node(3, { id: "c" })] }),
    ],
    [
      "flow: a child twice by its dedupe key",
      'added, 2 stored; ran 2 1; {"waiting":0,"delayed":0,"active":0,"completed":2,"failed":0,"cancelled":0}',
      node(1, {
        children: [node(2, { dedupe: { key: "c" } }), node(3, { dedupe: { key: "c" } })],
      }),
    ],
    [
      "flow: a parent and its child of one id",
      'refused invalid_option, names flow.parentRef, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { id: "p", children: [node(2, { id: "p" })] }),
    ],
    [
      "flow: a parent and its grandchild of one id",
      'refused invalid_option, names flow.parentRef, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { id: "p", children: [node(2, { children: [node(3, { id: "p" })] })] }),
    ],
    [
      "flow: a parent and its child of one dedupe key",
      'refused invalid_option, names flow.parentRef, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { dedupe: { key: "p" }, children: [node(2, { dedupe: { key: "p" } })] }),
    ],
    [
      "flow: 50 levels",
      'added, 51 stored; ran 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50; {"waiting":0,"delayed":0,"active":0,"completed":51,"failed":0,"cancelled":0}',
      nested(50),
    ],
    [
      "flow: 3,000 levels",
      'refused invalid_option, names flow, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      nested(3_000),
    ],
    [
      "flow: 18 objects, each twice a child of the next",
      'refused invalid_option, names flow, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      doubled(17),
    ],
    [
      "flow: 200 children",
      'added, 201 stored; ran 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 0; {"waiting":0,"delayed":0,"active":0,"completed":100,"failed":0,"cancelled":0}',
      node(0, { children: Array.from({ length: 200 }, () => node(1)) }),
    ],
    [
      "flow: a parent with a delay",
      'added, 2 stored; ran 2 1; {"waiting":0,"delayed":0,"active":0,"completed":2,"failed":0,"cancelled":0}',
      node(1, { delay: "1h", children: [node(2)] }),
    ],
    [
      "flow: a parent that expires before its child ends",
      'added, 2 stored; ran 2; {"waiting":0,"delayed":0,"active":0,"completed":1,"failed":1,"cancelled":0}',
      node(1, { expiresIn: "1m", children: [node(2, { delay: "1h" })] }),
    ],
    [
      "flow: a child that expires",
      'added, 2 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":2,"cancelled":0}',
      node(1, { children: [node(2, { expiresIn: "1m", delay: "1h" })] }),
    ],
    [
      "flow: a parent of which nothing is kept",
      'added, 2 stored; ran 2 1; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { keep: { completed: 0 }, children: [node(2, { keep: { completed: 0 } })] }),
    ],
    [
      "flow: parent and child in one group",
      'added, 2 stored; ran 2 1; {"waiting":0,"delayed":0,"active":0,"completed":2,"failed":0,"cancelled":0}',
      node(1, { group: { key: "g" }, children: [node(2, { group: { key: "g" } })] }),
    ],
    [
      "flow: a child in a queue of a bad name",
      'refused invalid_option, names queue name, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { children: [node(2, { queue: "" })] }),
    ],
    [
      "flow: a queue that is a number",
      'refused invalid_option, names queue name, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { queue: 7 }),
    ],
    [
      "flow: its own child",
      'refused invalid_option, names children[0], 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      (() => {
        const flow = node(1, { children: [] as unknown[] }) as unknown as { children: unknown[] };
        flow.children.push(flow);
        return flow;
      })(),
    ],
    [
      "flow: the same child object twice",
      'added, 3 stored; ran 2 2 1; {"waiting":0,"delayed":0,"active":0,"completed":3,"failed":0,"cancelled":0}',
      (() => {
        const child = node(2);
        return node(1, { children: [child, child] });
      })(),
    ],
    [
      "flow: an unknown word in a node",
      'refused invalid_option, names child, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":0,"cancelled":0}',
      node(1, { child: [node(2)] }),
    ],
  ];
  for (const [input, came, flow] of shapes) row(input, came, (room) => flows(room, flow));

  row(
    "flow: a child that waits already",
    'added, 1 stored; ran first 1; {"waiting":0,"delayed":0,"active":0,"completed":2,"failed":0,"cancelled":0}',
    (room) =>
      flows(room, node(1, { children: [node(2, { id: "c" })] }), ({ queue }) =>
        queue.addJob("odd", "first", { id: "c" }),
      ),
  );
  row(
    "flow: a child that has completed and is kept",
    'added, 1 stored; ran first 1; {"waiting":0,"delayed":0,"active":0,"completed":2,"failed":0,"cancelled":0}',
    (room) =>
      flows(room, node(1, { children: [node(2, { id: "c" })] }), async ({ queue }) => {
        await queue.addJob("odd", "first", { id: "c" });
        await queue.drain();
      }),
  );
  row(
    "flow: a child that has failed and is kept",
    'added, 0 stored; ran fails; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":2,"cancelled":0}',
    (room) =>
      flows(room, node(1, { children: [node(2, { id: "c" })] }), async ({ queue }) => {
        await queue.addJob("odd", "fails", { id: "c", maxAttempts: 1 });
        await queue.drain();
      }),
  );
  row(
    "flow: a child that was cancelled and is kept",
    'added, 0 stored; ran none; {"waiting":0,"delayed":0,"active":0,"completed":0,"failed":1,"cancelled":1}',
    (room) =>
      flows(room, node(1, { children: [node(2, { id: "c" })] }), async ({ queue }) => {
        await queue.addJob("odd", "first", { id: "c" });
        await queue.cancel("c");
      }),
  );
  row(
    "flow: a root that exists already, with other children",
    'added, 0 stored; ran first; {"waiting":0,"delayed":0,"active":0,"completed":1,"failed":0,"cancelled":0}',
    (room) =>
      flows(room, node(1, { id: "p", children: [node(2)] }), ({ queue }) => queue.addJob("odd", "first", { id: "p" })),
  );
  row(
    "flow: a root that has a dedupe key that stands",
    'added, 0 stored; ran first; {"waiting":0,"delayed":0,"active":0,"completed":1,"failed":0,"cancelled":0}',
    (room) =>
      flows(room, node(1, { dedupe: { key: "p" }, children: [node(2)] }), ({ queue }) =>
        queue.addJob("odd", "first", { dedupe: { key: "p" } }),
      ),
  );
  row(
    "flow: a child that has another parent",
    'added, 1 stored; ran second first 1; {"waiting":0,"delayed":0,"active":0,"completed":3,"failed":0,"cancelled":0}',
    (room) =>
      flows(room, node(1, { children: [node(2, { id: "c" })] }), ({ queue }) =>
        queue.addFlow(node("first", { children: [node("second", { id: "c" })] })),
      ),
  );
  row(
    "flow: added twice, by ids",
    'added, 0 stored; ran 2 1; {"waiting":0,"delayed":0,"active":0,"completed":2,"failed":0,"cancelled":0}',
    async (room) => {
      const flow = node(1, { id: "p", children: [node(2, { id: "c" })] });
      return flows(room, flow, ({ queue }) => queue.addFlow(flow));
    },
  );
  const during: readonly (readonly [input: string, came: string, act: (room: Room) => Promise<unknown>])[] = [
    [
      "flow: its child is removed",
      '{"affected":1}; 0 runs, parent failed, child gone',
      ({ queue }) => queue.remove("c"),
    ],
    [
      "flow: its child is cancelled",
      '{"affected":1,"state":"cancelled"}; 0 runs, parent failed, child cancelled',
      ({ queue }) => queue.cancel("c"),
    ],
    [
      "flow: its parent is cancelled",
      '{"affected":1,"state":"cancelled"}; 1 runs, parent cancelled, child completed',
      ({ queue }) => queue.cancel("p"),
    ],
    [
      "flow: its parent is removed",
      '{"affected":1}; 1 runs, parent gone, child completed',
      ({ queue }) => queue.remove("p"),
    ],
    [
      "flow: its parent is promoted",
      '{"affected":0,"state":"waiting"}; 2 runs, parent completed, child completed',
      ({ queue }) => queue.promote("p"),
    ],
    [
      "flow: its parent is retried",
      "refused conflict: Job p is waiting: only a failed or cancelled job can be retried.; 2 runs, parent completed, child completed",
      ({ queue }) => queue.retry("p"),
    ],
    [
      "flow: its parent is updated",
      '{"affected":1,"state":"waiting"}; 2 runs, parent completed, child completed',
      ({ queue }) => queue.update("p", { payload: "new", priority: 5, delay: 5 }),
    ],
    [
      "flow: the queue is cleared of what waits",
      '{"affected":2}; 0 runs, parent gone, child gone',
      ({ queue }) => queue.clear("waiting"),
    ],
    [
      "flow: the queue is cleared of what is delayed",
      '{"affected":0}; 2 runs, parent completed, child completed',
      ({ queue }) => queue.clear("delayed"),
    ],
    ["flow: the queue is cleared", '{"affected":2}; 0 runs, parent gone, child gone', ({ queue }) => queue.clear()],
  ];
  for (const [input, came, act] of during)
    row(input, came, async (room) => {
      const { queue, clock } = room;
      let runs = 0;
      queue.on("job:odd", () => void runs++);
      await queue.addFlow(node(1, { id: "p", children: [node(2, { id: "c" })] }));
      const end = await outcome(() => act(room));
      await drain(queue, { clock });
      const state = async (id: string) => (await queue.get(id))?.state ?? "gone";
      return `${end}; ${runs} runs, parent ${await state("p")}, child ${await state("c")}`;
    });
  const batches: readonly (readonly [input: string, came: string, jobs: unknown, end: unknown])[] = [
    ["batch: no jobs", 'added; ran ["end"], 0 left', [], { onComplete: node("end") }],
    ["batch: null", "refused invalid_option, names jobs; ran [], 0 left", null, { onComplete: node("end") }],
    ["batch: a text", "refused invalid_option, names jobs; ran [], 0 left", "jobs", { onComplete: node("end") }],
    [
      "batch: a job that is null",
      "refused invalid_option, names job; ran [], 0 left",
      [null],
      { onComplete: node("end") },
    ],
    ["batch: without onComplete", "refused invalid_option, names onComplete; ran [], 0 left", [node(1)], {}],
    ["batch: without a second argument", "refused invalid_option, names options; ran [], 0 left", [node(1)], undefined],
    [
      "batch: onComplete null",
      "refused invalid_option, names onComplete; ran [], 0 left",
      [node(1)],
      { onComplete: null },
    ],
    [
      "batch: all of them fail",
      'added; ran ["fails","end"], 0 left',
      [node("fails", { maxAttempts: 1 })],
      { onComplete: node("end") },
    ],
  ];
  for (const [input, came, jobs, end] of batches)
    row(input, came, async ({ queue, clock }) => {
      const runs: unknown[] = [];
      queue.on("job:odd", (payload) => {
        runs.push(payload);
        if (payload === "fails") throw new Error("no");
      });
      const added = await outcome(() => queue.addBatch(odd(jobs), odd(end)).then(() => "added"));
      await drain(queue, { clock });
      return `${added}; ran ${said(runs)}, ${await queue.size()} left`;
    });
});
