import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type JobOptions, Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { Plan, Step } from "../edge/crash-plan.ts";
import { Runtime, type Workerd } from "./support/workerd.ts";

/** A dead object is brought back by its alarm, ten seconds after the job fell due; a busy machine takes its time. */
const BACK_MS = 45_000;

let runtime: Runtime;
let server: Workerd;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quayside-deaths-"));
  runtime = await Runtime.bundle("../../edge/wrangler.crash.jsonc", folder);
});
afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));

type Jobs = Record<"note" | "flaky" | "poison" | "hold", { text: string }>;

let opened = 0;

/** A queue in an object of its own. */
function open(kind: "queues" | "shops" = "queues") {
  const name = `${kind}-${opened++}`;
  // Asked anew each time: another process has another address.
  const make = () =>
    new Queue<Jobs>(name, httpDriver({ url: `${server.url}/${kind}`, token: "token", queues: [name] }));
  const die = async (plan: Plan) => {
    const response = await fetch(`${server.url}/die/${kind}/${name}`, { method: "POST", body: JSON.stringify(plan) });
    if (!response.ok) throw new Error(`${response.status}`);
  };
  /** Adds a job as often as it takes: an object that dies before its answer is out has promised nothing. */
  const add = (options: JobOptions) =>
    vi.waitFor(() => make().addJob("note", { text: name }, { id: name, ...options }), { timeout: BACK_MS });
  return { name, make, die, add };
}

const requests = () => server.lines.filter((line) => line.startsWith("request"));
const count = (pattern: RegExp) => server.lines.filter((line) => pattern.test(line)).length;

async function ended(queue: Queue<Jobs>, id: string, timeout = BACK_MS) {
  return vi.waitFor(
    async () => {
      const job = await queue.get(id);
      if (job?.finishedAt === undefined) throw new Error(`Job ${id} is ${job?.state}.`);
      return job;
    },
    { timeout, interval: 100 },
  );
}

describe("a process that is killed, and another that nobody calls", () => {
  beforeEach(async () => {
    server = await runtime.start();
  });
  afterEach(() => server.kill());

  async function restart(): Promise<void> {
    await server.kill();
    server = await runtime.start();
  }

  it("a delayed job is run by the object's alarm", async () => {
    const { name, make } = open();
    const id = await make().addJob("note", { text: name }, { delay: 2_000 });
    await restart();
    await server.line(new RegExp(`^ran ${name} attempt=1 interruptions=0`), BACK_MS);
    expect(requests()).toEqual([]);
    expect(await ended(make(), id)).toMatchObject({ state: "completed", attempts: 1, interruptions: 0 });
  });

  it("a retry is run by the object's alarm, after its backoff", async () => {
    const { name, make } = open();
    const id = await make().addJob("flaky", { text: name }, { backoff: 3_000 });
    const failed = await vi.waitFor(async () => {
      const job = await make().get(id);
      expect(job).toMatchObject({ state: "delayed", attempts: 1 });
      return job;
    });
    await restart();
    await server.line(new RegExp(`^ran ${name} attempt=2`), BACK_MS);
    expect(requests()).toEqual([]);
    const job = await ended(make(), id);
    expect(job).toMatchObject({ state: "completed", attempts: 2 });
    expect(job.finishedAt).toBeGreaterThanOrEqual(failed?.availableAt as number);
  });

  it("a job whose remote worker is silent is run by the object's alarm, after its lease", async () => {
    const { name, make } = open();
    const queue = make();
    // The object's own hands are full, and the remote worker takes the next.
    for (let n = 0; n < 10; n++) await queue.addJob("hold", { text: `${name}-hold` });
    await vi.waitFor(async () => expect(await queue.counts()).toMatchObject({ active: 10 }));
    const id = await queue.addJob("note", { text: name });
    const { jobs } = await queue.driver.exchange({
      ...{ worker: "remote", liveness: "time", leaseMs: 3_000, exchange: 1, settle: [], running: [] },
      claim: { limit: 1, queues: [{ queue: name, names: ["note"] }] },
    });
    expect(jobs).toMatchObject([{ job: { id, name: "note" } }]);
    await restart();
    await server.line(new RegExp(`^ran ${name} attempt=1 interruptions=1`), BACK_MS);
    expect(requests()).toEqual([]);
    expect(await ended(make(), id)).toMatchObject({ state: "completed", attempts: 1, interruptions: 1 });
    await vi.waitFor(() => expect(count(new RegExp(`^ran ${name}-hold interruptions=1`))).toBe(10), {
      timeout: BACK_MS,
    });
  });

  it("an object's own alarm rings beside its jobs; neither does where their transaction was undone", async () => {
    const [kept, undone] = [open("shops"), open("shops")];
    const order = async ({ name }: { name: string }, undo: boolean) => {
      const body = JSON.stringify({ text: name, alarmInMs: 2_000, undo });
      return (await fetch(`${server.url}/order/${name}`, { method: "POST", body })).text();
    };
    const undoneId = await order(undone, true);
    const keptId = await order(kept, false);
    await restart();
    await server.line(new RegExp(`^alarm of ${keptId}`), BACK_MS);
    await server.line(new RegExp(`^ran ${kept.name}`), BACK_MS);
    expect(requests()).toEqual([]);
    expect(count(new RegExp(`${undoneId}|${undone.name}`))).toBe(0);
  });
});

describe.concurrent("an object that aborts itself", () => {
  beforeAll(async () => {
    server = await runtime.start();
  });
  afterAll(() => server.kill());

  /** How often the job's handler comes to its end, and how often it is found interrupted. */
  const attempts: readonly (readonly [step: Step, runs: readonly number[], interruptions: readonly number[]])[] = [
    ["before the claim was committed", [1], [0]],
    // What was not on disk is lost, or not: the object was free to write it.
    ["after the claim was committed", [1], [0, 1]],
    ["after the claim was on disk", [1], [1]],
    ["in the handler", [1], [1]],
    ["before the settlement was committed", [2], [1]],
    ["after the settlement was committed", [1, 2], [0, 1]],
  ];

  for (const delay of [0, 500]) {
    // After an add whose answer was not out yet, its caller comes again; in the alarm nobody does.
    const when = delay === 0 ? "in the wake of the add" : "in the alarm, which alone brings it back";
    it.each(attempts)(`%s, ${when}: the job is done`, async (step, runs, interruptions) => {
      const { name, make, die, add } = open();
      await die({ step, times: 1 });
      const id = await add({ delay });
      const ran = new RegExp(`^ran ${name} `);
      // As often as it runs at least, before any request that would bring the object back.
      await vi.waitFor(() => expect(count(ran)).toBeGreaterThanOrEqual(runs[0] as number), { timeout: BACK_MS });
      const job = await ended(make(), id);
      expect(job).toMatchObject({ state: "completed", attempts: 1 });
      expect(interruptions).toContain(job.interruptions);
      expect(runs).toContain(count(ran));
    });
  }

  it.each(["as the alarm begins", "as the alarm ends"] as const)("%s: what it was set for is done", async (step) => {
    const { name, make, die } = open();
    await die({ step, times: 2 });
    const id = await make().addJob("note", { text: name }, { delay: 500 });
    await server.line(new RegExp(`^ran ${name} `), BACK_MS);
    expect(await ended(make(), id)).toMatchObject({ state: "completed", attempts: 1 });
  });

  it("after the add was committed and before it was on disk: nobody was told of the job, and it is added once", async () => {
    const { name, make, die, add } = open();
    await die({ step: "after the add was committed", times: 1 });
    expect(await ended(make(), await add({}))).toMatchObject({ state: "completed" });
    expect(count(new RegExp(`^ran ${name} `))).toBe(1);
  });

  it("whenever it runs one of its jobs: that job ends as failed, code interrupted, and takes no other with it", {
    timeout: 120_000,
  }, async () => {
    const { name, make } = open();
    const queue = make();
    const innocents = Array.from({ length: 30 }, (_, n) => ({
      name: "note" as const,
      payload: { text: `${name}-${n}` },
    }));
    const [first, second, ...ids] = await queue.addJobs([
      { name: "poison", payload: { text: `${name}-first` }, maxInterruptions: 3 },
      { name: "poison", payload: { text: `${name}-second` }, maxInterruptions: 1 },
      ...innocents,
    ]);
    await server.line(new RegExp(`^failed ${name}-first interruptions=3`), 90_000);
    await server.line(new RegExp(`^failed ${name}-second interruptions=1`));
    await vi.waitFor(() => expect(count(new RegExp(`^ran ${name}-`))).toBeGreaterThanOrEqual(innocents.length), {
      timeout: BACK_MS,
    });
    for (const id of [first, second]) {
      const job = await queue.get(id as string);
      expect(job).toMatchObject({ state: "failed", error: { code: "interrupted" }, attempts: 0 });
    }
    for (const id of ids) {
      // It may have run and not been settled when the object aborted itself: then it runs again.
      const job = await ended(queue, id);
      expect(job).toMatchObject({ state: "completed", attempts: 1 });
      expect(job.interruptions).toBeLessThan(3);
    }
  });

  it("in the handler of its own alarm: the alarm rings again", async () => {
    const { name, die } = open("shops");
    await die({ step: "in the handler", times: 1 });
    const body = JSON.stringify({ text: name, alarmInMs: 300, undo: false });
    const id = await (await fetch(`${server.url}/order/${name}`, { method: "POST", body })).text();
    await server.line(new RegExp(`^died ${id}`), BACK_MS);
    await server.line(new RegExp(`^alarm of ${id}`), BACK_MS);
    await server.line(new RegExp(`^ran ${name}`), BACK_MS);
  });

  it("in the handler of its own alarm, again and again: each try is counted, and later than the one before", async () => {
    const { name, die } = open("shops");
    await die({ step: "in the handler", times: 3 });
    const body = JSON.stringify({ text: name, alarmInMs: 300, undo: false });
    const id = await (await fetch(`${server.url}/order/${name}`, { method: "POST", body })).text();
    await server.line(new RegExp(`^alarm of ${id}`), BACK_MS);
    const rings = server.lines.filter((line) => line.startsWith(`rings ${id}`));
    expect(rings.map((line) => line.slice(`rings ${id} `.length))).toEqual([
      "retryCount=0 isRetry=false",
      "retryCount=1 isRetry=true",
      "retryCount=2 isRetry=true",
      "retryCount=3 isRetry=true",
    ]);
  });
});

describe("an object whose class has no alarm()", () => {
  it("R3b: refuses whatever would need one, says what to do, and stores nothing", async () => {
    server = await runtime.start();
    try {
      const answer = await fetch(`${server.url}/alarmless/one`, { method: "POST" });
      const { refusals, jobs } = (await answer.json()) as { refusals: readonly string[]; jobs: number };
      expect(refusals).toHaveLength(6);
      for (const refusal of refusals) expect(refusal).toMatch(/^invalid_option .*has no alarm\(\) method/);
      expect(jobs).toBe(0);
    } finally {
      await server.kill();
    }
  });
});
