import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { QuaysideError } from "@quayside/core";
import { queueApi } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Call, call, email, problem } from "./api-call.ts";
import { api } from "./queues.ts";

afterEach(reset);

describe("a bad request", () => {
  it.each([
    ["text that is not JSON", { text: "{" }],
    ["no body", { method: "POST", headers: { "content-type": "application/json" } }],
    ["a body that does not say it is JSON", { text: JSON.stringify(email), headers: { "content-type": "text/plain" } }],
  ])("%s is 400", async (_, options) => {
    expect(await problem("/mail/jobs", options as Call)).toMatchObject({ status: 400, code: "bad_request" });
  });

  it.each([
    ["a missing name", { payload: {} }, ["name"]],
    ["an unknown field", { ...email, nmae: 1 }, ["nmae"]],
    ["an unknown option", { ...email, options: { prio: 1 } }, ["options.prio"]],
    ["an unknown part of dedupe", { ...email, options: { dedupe: { key: "a", tll: "1m" } } }, ["options.dedupe.tll"]],
    ["an unknown part of a group", { ...email, options: { group: { key: "a", max: 2 } } }, ["options.group.max"]],
    ["an unknown part of keep", { ...email, options: { keep: { done: 1 } } }, ["options.keep.done"]],
    [
      "an unknown part of the backoff",
      { ...email, options: { backoff: { kind: "fixed", delay: "1s", maximum: "1m" } } },
      ["options.backoff.maximum"],
    ],
    ["an option of the wrong type", { ...email, options: { tags: "a" } }, ["options.tags"]],
    ["one bad job of several", [email, email, { name: 7 }], ["[2].name"]],
    ["several wrong fields", { name: 1, options: { priority: "high" } }, ["name", "options.priority"]],
    ["a body of another kind", 7, [""]],
  ])("%s is 400, and named", async (_, body, paths) => {
    const { status, code, errors } = await problem("/mail/jobs", { body });
    expect({ status, code }).toEqual({ status: 400, code: "bad_request" });
    expect(errors?.map(({ path }) => path)).toEqual(paths);
  });

  it.each([
    ["a delay", { delay: "5 minutes" }, "options.delay"],
    ["a priority", { priority: 101 }, "options.priority"],
    ["a part of the backoff", { backoff: ["1s", "soon"] }, "options.backoff[1]"],
    ["a throttle without a ttl", { dedupe: { key: "a", mode: "throttle" } }, "options.dedupe.ttl"],
  ])("an option's value that cannot be (%s) is 400, and named", async (_, options, path) => {
    const { status, code, errors } = await problem("/mail/jobs", { body: [email, { ...email, options }] });
    expect({ status, code }).toEqual({ status: 400, code: "invalid_option" });
    expect(errors?.map((error) => error.path)).toEqual([`[1].${path}`]);
  });

  it("a payload that does not fit its schema is 422, each field named", async () => {
    const body = [email, { name: "email", payload: { to: "nobody", lines: ["a", 2] } }];
    const { status, code, errors } = await problem("/mail/jobs", { body });
    expect({ status, code }).toEqual({ status: 422, code: "invalid_payload" });
    expect(errors?.map(({ path }) => path)).toEqual(["[1].payload.to", "[1].payload.lines[1]"]);
  });

  it("a job that the job map does not have is 422, also one that every object has", async () => {
    for (const name of ["fax", "toString", "__proto__"]) {
      const { status, code, errors } = await problem("/mail/jobs", { body: { name, payload: {} } });
      expect({ status, code }).toEqual({ status: 422, code: "unknown_job" });
      expect(errors?.map(({ path }) => path)).toEqual(["name"]);
    }
  });

  it("of which one job is bad stores none", async () => {
    await problem("/mail/jobs", { body: [email, { name: "fax" }] });
    expect((await call("/mail/counts")).body).toMatchObject({ waiting: 0 });
  });

  it("a payload over the limit is 413, and so are a body and a batch", async () => {
    const large = { name: "email", payload: { to: "ada@example.com", lines: ["x".repeat(1_000)] } };
    expect(await problem("/mail/jobs", { body: large })).toMatchObject({ status: 413, code: "payload_too_large" });
    const text = JSON.stringify({ ...email, pad: "x".repeat(1_100_000) });
    expect(await problem("/mail/jobs", { text })).toMatchObject({ status: 413, code: "too_large" });
    const body = Array.from({ length: 1_001 }, () => email);
    expect(await problem("/mail/jobs", { body })).toMatchObject({ status: 413, code: "too_large" });
  });

  it("never shows a stack or the message of an unexpected error", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const broken = { ...env, BARE_QUEUE: undefined } as unknown as typeof env;
    const response = await api.request("/mail/counts", { headers: { authorization: "Bearer token-all" } }, broken);
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ code: "internal", status: 500 });
    expect(text).not.toMatch(/undefined|idFromName|\.ts/);
    expect(log).toHaveBeenCalled();
    log.mockRestore();
  });

  it("keeps the message of an error that is about the server to the log", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const failing = queueApi({
      object: (bindings: Cloudflare.Env) => bindings.BARE_QUEUE,
      auth: () => {
        throw new QuaysideError("storage_unavailable", "no such table: sessions");
      },
    });
    const { status, code, detail } = await problem("/mail/counts", { app: failing });
    expect({ status, code }).toEqual({ status: 503, code: "storage_unavailable" });
    expect(detail).not.toContain("sessions");
    log.mockRestore();
  });

  it("for a route that is not there is 404", async () => {
    expect(await problem("/mail/nothing")).toMatchObject({ status: 404, code: "route_not_found" });
  });

  it("has its body read to the end beside the answer, so that a client that is still sending hears the refusal", async () => {
    for (const [path, token] of [
      ["/mail/jobs", "no such token"],
      ["/mail/nothing", "token-all"],
    ]) {
      const { body, sent } = bodyInPieces(8, 1_000);
      const response = await api.request(
        path as string,
        { method: "POST", headers: { authorization: `Bearer ${token}` }, body },
        env,
      );
      expect(response.ok).toBe(false);
      await vi.waitFor(() => expect(sent()).toEqual({ pieces: 8, cut: false }));
    }
  });

  it("is cut when its body is over the limit, whoever sends it", async () => {
    const { body, sent } = bodyInPieces(100, 100_000);
    expect((await api.request("/mail/jobs", { method: "POST", body }, env)).status).toBe(401);
    await vi.waitFor(() => expect(sent().cut).toBe(true));
    expect(sent().pieces).toBeLessThan(15);
  });
});

/** A body that is still on its way: each piece is sent when it is asked for. */
function bodyInPieces(pieces: number, bytes: number) {
  let sent = 0;
  let cut = false;
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (sent === pieces) controller.close();
        else {
          sent++;
          controller.enqueue(new Uint8Array(bytes));
        }
      },
      cancel: () => {
        cut = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { body, sent: () => ({ pieces: sent, cut }) };
}
