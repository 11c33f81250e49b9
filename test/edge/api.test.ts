import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it } from "vitest";
import { add, call, email, problem } from "./api-call.ts";
import { closedApi } from "./queues.ts";

afterEach(reset);

describe("adding jobs", () => {
  it("answers 201 and a receipt", async () => {
    const { status, body } = await call("/mail/jobs", { body: email });
    expect(status).toBe(201);
    expect(body).toEqual({ id: expect.any(String), deduplicated: false });
  });

  it("answers a receipt a job, in order, for an array", async () => {
    const named = [1, 2, 3].map((n) => ({ ...email, options: { id: `order-${n}` } }));
    const { status, body } = await call("/mail/jobs", { body: named });
    expect(status).toBe(201);
    expect(body.map(({ id }: { id: string }) => id)).toEqual(["order-1", "order-2", "order-3"]);
    expect((await call("/mail/jobs", { body: [] })).body).toEqual([]);
  });

  it("says when the id stands already", async () => {
    const order = { ...email, options: { id: "order-1" } };
    expect(await add(order)).toEqual({ id: "order-1", deduplicated: false });
    expect(await add(order)).toEqual({ id: "order-1", deduplicated: true });
  });

  it("takes options as addJob does: durations with a unit, priority, tags, backoff, dedupe, keep", async () => {
    const options = {
      delay: "5m",
      priority: 7,
      maxAttempts: 9,
      timeout: "30s",
      expiresIn: "1h",
      tags: ["a"],
      backoff: { kind: "exponential", delay: "1s", max: "1m", jitter: 0.5 },
      dedupe: { key: "ada", mode: "throttle", ttl: "1h" },
      keep: { completed: 0 },
    };
    const { id } = await add({ ...email, options });
    expect((await call(`/mail/jobs/${id}`)).body).toMatchObject({
      state: "delayed",
      priority: 7,
      maxAttempts: 9,
      timeoutMs: 30_000,
      tags: ["a"],
      backoff: { kind: "exponential", delayMs: 1_000, maxMs: 60_000, jitter: 0.5 },
      dedupe: { key: "ada", mode: "throttle", ttlMs: 3_600_000 },
      payload: { to: "ada@example.com" },
    });
  });

  it("applies the options of the job's definition", async () => {
    const { id } = await add();
    expect((await call(`/mail/jobs/${id}`)).body).toMatchObject({ maxAttempts: 2 });
  });

  it("keeps each queue in an object of its own", async () => {
    await add();
    expect((await call("/mail/counts")).body).toMatchObject({ waiting: 1 });
    expect((await call("/logs/counts")).body).toMatchObject({ waiting: 0 });
  });
});

describe("inspecting and steering", () => {
  it("lists pages of a state", async () => {
    await add([1, 2, 3].map((n) => ({ ...email, options: { id: `job-${n}` } })));
    const first = (await call("/mail/jobs?state=waiting&limit=2")).body;
    const second = (await call(`/mail/jobs?state=waiting&limit=2&cursor=${encodeURIComponent(first.cursor)}`)).body;
    const ids = [...first.jobs, ...second.jobs].map(({ id }: { id: string }) => id);
    expect(ids).toEqual(["job-1", "job-2", "job-3"]);
    expect((await call("/mail/jobs?state=failed")).body).toEqual({ jobs: [] });
  });

  it.each(["state=lost", "limit=0", "limit=many", "page=2"])(
    "refuses a query like ?%s, naming the field",
    async (query) => {
      const { status, errors } = await problem(`/mail/jobs?${query}`);
      expect(status).toBe(400);
      expect(errors?.map(({ path }) => path)).toEqual([query.split("=")[0]]);
    },
  );

  it("answers 404 for a job that is not there, to whatever is asked of it", async () => {
    const missing = { status: 404, code: "job_not_found" };
    expect(await problem("/mail/jobs/nothing")).toMatchObject(missing);
    expect(await problem("/mail/jobs/nothing", { method: "DELETE" })).toMatchObject(missing);
    for (const verb of ["cancel", "retry", "promote"]) {
      expect(await problem(`/mail/jobs/nothing/${verb}`, { method: "POST" })).toMatchObject(missing);
    }
  });

  it("cancels, retries, promotes and removes", async () => {
    const { id } = await add({ ...email, options: { delay: "1h" } });
    const act = async (verb: string) => (await call(`/mail/jobs/${id}/${verb}`, { method: "POST" })).body;
    expect(await act("promote")).toEqual({ affected: 1, state: "waiting" });
    expect(await act("cancel")).toEqual({ affected: 1, state: "cancelled" });
    expect(await act("retry")).toEqual({ affected: 1, state: "waiting" });
    expect((await call(`/mail/jobs/${id}`, { method: "DELETE" })).body).toMatchObject({ affected: 1 });
    expect((await call(`/mail/jobs/${id}`)).status).toBe(404);
  });

  it("answers 409 when a job's state forbids it", async () => {
    const { id } = await add();
    expect(await problem(`/mail/jobs/${id}/retry`, { method: "POST" })).toMatchObject({
      status: 409,
      code: "conflict",
    });
  });

  it("finds jobs by ids of any characters", async () => {
    for (const id of ["a/b", "50%", "ü ñ", "?x=1#y", "%2F"]) {
      await add({ ...email, options: { id } });
      const { status, body } = await call(`/mail/jobs/${encodeURIComponent(id)}`);
      expect({ status, id: body.id }).toEqual({ status: 200, id });
    }
  });

  it("pauses, resumes and clears a queue", async () => {
    await add([email, email]);
    await call("/mail/pause", { method: "POST" });
    expect((await call("/mail/counts")).body).toMatchObject({ waiting: 2, paused: true });
    await call("/mail/resume", { method: "POST" });
    expect((await call("/mail/counts")).body).toMatchObject({ paused: false });
    expect((await call("/mail/clear?state=failed", { method: "POST" })).body).toMatchObject({ affected: 0 });
    expect((await call("/mail/clear", { method: "POST" })).body).toMatchObject({ affected: 2 });
  });

  it("is alive without credentials and without touching a queue", async () => {
    expect((await closedApi.request("/health", {}, env)).status).toBe(200);
  });
});

describe("working over HTTP", () => {
  const round = (exchange: number, more: object = {}) => ({
    worker: "w1",
    leaseMs: 30_000,
    exchange,
    settle: [],
    running: [],
    claim: { limit: 10 },
    ...more,
  });

  it("claims, then settles", async () => {
    const { id } = await add();
    const claimed = (await call("/mail/exchange", { body: round(1) })).body;
    expect(claimed.jobs).toMatchObject([{ job: { id, name: "email", payload: email.payload } }]);
    const settle = [{ token: claimed.jobs[0].token, outcome: "completed", result: "1" }];
    expect((await call("/mail/exchange", { body: round(2, { settle }) })).body).toMatchObject({ lost: [] });
    expect((await call(`/mail/jobs/${id}`)).body).toMatchObject({ state: "completed", result: 1 });
  });

  describe("refuses with 409, code lease_lost, what comes after the lease was lost, and changes nothing:", () => {
    it.each([
      ["a result", { settle: [{ token: "1.0", outcome: "completed", result: '"late"' }] }],
      ["a failure", { settle: [{ token: "1.0", outcome: "failed", error: { code: "handler_failed", message: "" } }] }],
      ["a release", { settle: [{ token: "1.0", outcome: "released", delayMs: 0 }] }],
      ["a cancellation", { settle: [{ token: "1.0", outcome: "cancelled" }] }],
      ["a renewal", { running: ["1.0"], progress: [{ token: "1.0", value: 1 }] }],
    ])("%s", async (_, late) => {
      const { id } = await add();
      const object = env.BARE_QUEUE.getByName("mail");
      await call("/mail/exchange", { body: round(1) });
      const rescuer = { worker: "w2" };
      await call("/mail/exchange", { body: round(1, rescuer) });
      await object.advance(31_000);
      await call("/mail/exchange", { body: round(2, rescuer) });
      await object.advance(1_000);
      const { jobs: taken } = (await call("/mail/exchange", { body: round(3, rescuer) })).body;
      expect(taken).toMatchObject([{ job: { id } }]);

      const [before, { rowsWritten }] = [(await call(`/mail/jobs/${id}`)).body, await object.usage()];
      expect(before).toMatchObject({ state: "active", interruptions: 1 });
      const refused = await problem("/mail/exchange", { body: round(2, { ...late, claim: { limit: 0 } }) });
      expect(refused).toMatchObject({ status: 409, code: "lease_lost", details: { lost: ["1.0"] } });
      expect((await call(`/mail/jobs/${id}`)).body).toEqual(before);
      expect((await object.usage()).rowsWritten).toBe(rowsWritten);

      const settle = [{ token: taken[0].token, outcome: "completed", result: '"in time"' }];
      await call("/mail/exchange", { body: round(4, { ...rescuer, settle }) });
      expect((await call(`/mail/jobs/${id}`)).body).toMatchObject({ state: "completed", result: "in time" });
    });
  });

  it("answers 200 where any part of an exchange took effect, and names what was lost", async () => {
    await add([email, email]);
    const { jobs: taken } = (await call("/mail/exchange", { body: round(1, { claim: { limit: 1 } }) })).body;
    const stale = { token: "9.9", outcome: "completed" };
    const settle = [{ token: taken[0].token, outcome: "completed" }, stale];
    const none = { claim: { limit: 0 } };
    const both = await call("/mail/exchange", { body: round(2, { settle, ...none }) });
    expect(both).toMatchObject({ status: 200, body: { lost: ["9.9"] } });
    // What was settled twice in one request was settled once.
    const claimed = (await call("/mail/exchange", { body: round(3, { settle: [stale] }) })).body;
    expect(claimed).toMatchObject({ lost: ["9.9"], jobs: [{}] });
    const twice = [0, 1].map(() => ({ token: claimed.jobs[0].token, outcome: "completed" }));
    expect((await call("/mail/exchange", { body: round(4, { settle: twice, ...none }) })).status).toBe(200);
    expect((await call("/mail/exchange", { body: round(5, { settle: [stale], ...none, leave: true }) })).status).toBe(
      200,
    );
  });

  it("refuses an exchange with an old number with 409, code stale_exchange", async () => {
    await add();
    await call("/mail/exchange", { body: round(2) });
    expect(await problem("/mail/exchange", { body: round(1) })).toMatchObject({ status: 409, code: "stale_exchange" });
  });

  it("names the fields of an exchange that are wrong", async () => {
    const settle = [{ token: "1.0", outcome: "failed" }];
    const { status, errors } = await problem("/mail/exchange", { body: round(0, { settle, leaseMs: "long" }) });
    expect(status).toBe(400);
    expect(errors?.map(({ path }) => path).sort()).toEqual(["exchange", "leaseMs", "settle[0].error"]);
  });

  it("tells when there will be something to do", async () => {
    expect((await call("/mail/next-wake")).body).toEqual({ nextWakeMs: null });
    await add({ ...email, options: { delay: 1_000 } });
    expect((await call("/mail/next-wake")).body).toEqual({ nextWakeMs: 1_000 });
  });

  it("streams changes of its queue as server-sent events", async () => {
    const { response } = await call("/mail/events");
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
    await reader.read();
    await call("/logs/jobs", { body: email });
    await add();
    const { value } = await reader.read();
    expect(value).toBe('data: {"queue":"mail","kind":"ready","jobs":1}\n\n');
    await reader.cancel();
  });
});
