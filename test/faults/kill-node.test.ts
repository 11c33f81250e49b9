import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type JobRecord, Queue } from "@quayside/core";
import { JobWorker } from "@quayside/core/engine";
import { httpDriver } from "@quayside/core/http";
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from "vitest";
import { createTestHarness } from "wrangler";
import type { Exchanged, Told } from "./node/worker.ts";

const server = createTestHarness({
  workers: [{ configPath: "../edge/wrangler.http.jsonc" }],
  root: import.meta.dirname,
});
let base = "";

beforeAll(async () => {
  base = (await server.listen()).url.href;
});
afterAll(() => server.close());

const apiOf = (space: string) => `${base}spaces/timed-${space}/api`;

const TOKEN = "token-all";
const LEASE = "2s";
const [ENDING, HANGING, LEFT] = [200, 20, 280];
const JOBS = ENDING + HANGING + LEFT;

/** A process that works the queue, and what it has told so far. */
interface WorkingProcess {
  readonly child: ChildProcess;
  readonly started: Set<string>;
  /** Why handlers were told to stop, by job. */
  readonly aborted: Map<string, string>;
  readonly exchanges: Exchanged[];
}

function startProcess(url: string, concurrency: number): WorkingProcess {
  const script = fileURLToPath(new URL("node/worker.ts", import.meta.url));
  const child = fork(script, [url, TOKEN, LEASE, `${concurrency}`], { execArgv: [] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const told: WorkingProcess = { child, started: new Set(), aborted: new Map(), exchanges: [] };
  child.on("message", (message: Told) => {
    if ("started" in message) told.started.add(message.started);
    else if ("aborted" in message) told.aborted.set(message.aborted, message.code);
    else told.exchanges.push(message.exchange);
  });
  return told;
}

/** An exchange as any client may send it. */
async function exchange(
  url: string,
  body: object,
): Promise<{ status: number; body: { code?: string; details?: object } }> {
  const response = await fetch(`${url}/mail/exchange`, {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as { code?: string } };
}

async function everyJob(queue: Queue): Promise<readonly JobRecord[]> {
  const jobs: JobRecord[] = [];
  for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
    const page = await queue.list({ limit: 1_000, ...(cursor !== undefined && { cursor }) });
    jobs.push(...page.jobs);
    cursor = page.cursor;
  }
  return jobs;
}

it("a Node process that works an edge queue over HTTP and is killed mid-job: every job is completed elsewhere after its lease, and what it settles late gets 409 and changes nothing", async () => {
  const url = apiOf("kill");
  const queue = new Queue("mail", httpDriver({ url, token: TOKEN }));
  await queue.configure({ keep: { completed: JOBS } });
  const payloads = Array.from({ length: JOBS }, (_, n) => n >= ENDING && n < ENDING + HANGING);
  const ids = await queue.addJobs(payloads.map((payload) => ({ name: "email", payload })));
  const held = new Set(ids.slice(ENDING, ENDING + HANGING));

  const victim = startProcess(url, HANGING);
  await vi.waitFor(() => expect([...held].every((id) => victim.started.has(id))).toBe(true), { timeout: 30_000 });
  // What ended is settled with the next exchange: it is on its way while the handlers hang.
  await vi.waitFor(async () => expect(await queue.counts()).toMatchObject({ completed: ENDING, active: HANGING }), {
    timeout: 10_000,
  });
  victim.child.kill("SIGKILL");
  expect(await once(victim.child, "exit")).toEqual([null, "SIGKILL"]);
  expect(await queue.counts()).toMatchObject({ completed: ENDING, active: HANGING, waiting: LEFT });

  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const started = new Set<string>();
  const survivor = new JobWorker(httpDriver({ url, token: "token-work" }), {
    concurrency: HANGING,
    lease: LEASE,
    queues: [
      {
        name: "mail",
        run: async ({ id }, { signal }) => {
          if (!held.has(id)) return "by the survivor";
          started.add(id);
          await Promise.race([gate, new Promise((_, reject) => signal.addEventListener("abort", reject))]);
          return "by the survivor";
        },
      },
    ],
  });
  await survivor.start();
  await vi.waitFor(() => expect(started).toEqual(held), { timeout: 30_000, interval: 20 });

  const before = await everyJob(queue);
  const { worker, leaseMs, exchange: last } = (victim.exchanges.at(-1) as Exchanged).body;
  const claims = victim.exchanges.flatMap(({ reply }) => reply.jobs ?? []);
  const tokens = claims.filter(({ job }) => held.has(job.id)).map(({ token }) => token);
  const late = {
    worker,
    leaseMs,
    exchange: last + 1,
    settle: tokens.map((token) => ({ token, outcome: "completed", result: '"late"' })),
    running: [],
    claim: { limit: 0 },
  };
  expect(tokens).toHaveLength(HANGING);
  expect(await exchange(url, late)).toMatchObject({
    status: 409,
    body: { code: "lease_lost", details: { lost: tokens } },
  });
  expect(await everyJob(queue)).toEqual(before);

  open();
  await vi.waitFor(async () => expect((await queue.counts()).completed).toBe(JOBS), { timeout: 20_000, interval: 20 });
  const after = await everyJob(queue);
  expect((await exchange(url, { ...late, exchange: last + 2 })).status).toBe(409);
  expect(await everyJob(queue)).toEqual(after);
  await survivor.stop();

  expect(new Set(after.map(({ id }) => id))).toEqual(new Set(ids));
  expect(after).toHaveLength(JOBS);
  for (const { id, state, attempts, interruptions, result } of after) {
    const mine = ids.indexOf(id) < ENDING ? `by ${victim.child.pid}` : "by the survivor";
    expect({ state, attempts, interruptions, result }).toEqual({
      state: "completed",
      attempts: 1,
      interruptions: held.has(id) ? 1 : 0,
      result: mine,
    });
  }
  console.info(
    `Node over HTTP, SIGKILL: ${after.length} of ${JOBS} completed, ${ENDING} by the process before it was killed, ` +
      `${held.size} held at its death and interrupted once, a late settlement of them answered 409`,
  );
});

it("a Node process that is stopped for longer than its lease and goes on: it hears that its job is another's, by a 409, and works on", async () => {
  const url = apiOf("stop");
  const queue = new Queue("mail", httpDriver({ url, token: TOKEN }));
  const id = await queue.addJob("email", true);
  // One job at a time: while it runs one, all that it has to ask is whether it still may.
  const stopped = startProcess(url, 1);
  await vi.waitFor(() => expect(stopped.started).toEqual(new Set([id])), { timeout: 30_000 });
  stopped.child.kill("SIGSTOP");

  const rescuer = new JobWorker(httpDriver({ url, token: "token-work" }), {
    lease: LEASE,
    queues: [{ name: "mail", run: async () => "by the rescuer" }],
  });
  await rescuer.start();
  await vi.waitFor(async () => expect(await queue.get(id)).toMatchObject({ state: "completed" }), { timeout: 30_000 });
  await rescuer.stop();
  stopped.child.kill("SIGCONT");

  await vi.waitFor(() => expect([...stopped.aborted]).toEqual([[id, "lease_lost"]]), { timeout: 30_000 });
  expect(stopped.exchanges.filter(({ status }) => status !== 200)).toMatchObject([
    { status: 409, body: { settle: [], running: [expect.any(String)] }, reply: { code: "lease_lost" } },
  ]);
  const next = await queue.addJob("email", false);
  await vi.waitFor(async () => expect(await queue.get(next)).toMatchObject({ state: "completed" }), {
    timeout: 30_000,
  });
  // It lost a job and not its store: it goes on as the worker that it was.
  expect(new Set(stopped.exchanges.map(({ body }) => body.worker)).size).toBe(1);
  expect(await queue.get(next)).toMatchObject({ result: `by ${stopped.child.pid}` });
  expect(await queue.get(id)).toMatchObject({ result: "by the rescuer", attempts: 1, interruptions: 1 });
});
