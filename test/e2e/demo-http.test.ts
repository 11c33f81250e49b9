import type { JobRecord } from "@quayside/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Demo } from "./support/demo-page.ts";
import { buildDemo, TOKEN } from "./support/demo-server.ts";

/** The README's promise: one curl adds a job, another sees it completed. */
describe("the demo's queue API", () => {
  let demo: Demo;
  beforeAll(async () => {
    await buildDemo();
    demo = await Demo.start();
  });
  afterAll(() => demo?.stop());

  const email = { name: "email", payload: { to: "a@example.com", subject: "Hi", body: "Hello" } };
  const post = (body: unknown, token: string | undefined = TOKEN) =>
    fetch(`${demo.server.url}/api/queues/mail/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(token !== "" && { authorization: `Bearer ${token}` }) },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  /** Until the job has ended, as the stream of changes tells it. */
  const ended = async (id: string): Promise<JobRecord> => {
    const controller = new AbortController();
    const events = await fetch(`${demo.server.url}/api/queues/mail/events`, {
      headers: { authorization: `Bearer ${TOKEN}` },
      signal: controller.signal,
    });
    try {
      for await (const _ of events.body ?? []) {
        const job = await demo.server.get<JobRecord>(`/api/queues/mail/jobs/${id}`);
        if (job.finishedAt !== undefined) return job;
      }
    } finally {
      controller.abort();
    }
    throw new Error("The stream ended.");
  };

  it("adds a job that completes, and its mail arrives once", async () => {
    const response = await post(email);
    expect(response.status).toBe(201);
    const { id } = (await response.json()) as { id: string };
    expect(id).toEqual(expect.any(String));
    expect(await ended(id)).toMatchObject({ state: "completed", attempts: 1, payload: email.payload });
    expect(await demo.server.get("/api/inbox")).toEqual([
      expect.objectContaining({ id, ...email.payload, arrivals: 1 }),
    ]);
  });

  it("answers 401 without the token and with a wrong one", async () => {
    for (const token of ["", "guess"]) {
      const response = await post(email, token);
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ code: "unauthorized" });
    }
    const inbox = await fetch(`${demo.server.url}/api/inbox`);
    expect(inbox.status).toBe(401);
  });

  it("answers 422 to a bad payload and names the field", async () => {
    const response = await post({ name: "email", payload: { ...email.payload, to: "nobody" } });
    expect(response.status).toBe(422);
    expect(response.headers.get("content-type")).toContain("application/problem+json");
    expect(await response.json()).toMatchObject({
      code: "invalid_payload",
      errors: [{ path: "payload.to", message: "must be an e-mail address" }],
    });
  });

  it("answers 400 to what is not JSON or not a job, and names the field", async () => {
    expect((await post("{")).status).toBe(400);
    const response = await post({ payload: email.payload });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "bad_request", errors: [{ path: "name" }] });
  });

  it("adds a job once for each id", async () => {
    const withId = { ...email, options: { id: "welcome-1" } };
    expect(await (await post(withId)).json()).toEqual({ id: "welcome-1", deduplicated: false });
    expect(await (await post(withId)).json()).toEqual({ id: "welcome-1", deduplicated: true });
    await ended("welcome-1");
    const inbox = await demo.server.get<{ id: string; arrivals: number }[]>("/api/inbox");
    expect(inbox.filter(({ id }) => id === "welcome-1")).toEqual([expect.objectContaining({ arrivals: 1 })]);
  });

  it("keeps a delivery that failed for good, with its reason", async () => {
    const { id } = (await (
      await post({ name: "email", payload: { ...email.payload, to: "bounce@example.com" } })
    ).json()) as {
      id: string;
    };
    expect(await ended(id)).toMatchObject({
      state: "failed",
      attempts: 1,
      error: { code: "unrecoverable", message: "550 There is no mailbox bounce@example.com" },
    });
  });
});
