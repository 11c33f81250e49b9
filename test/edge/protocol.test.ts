import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type Driver, Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { bearerTokens, type QueueRpc, queueApi, queueStub, StubDriver } from "@quayside/edge";
import { createManualClock } from "@quayside/testing";
import { afterEach, describe, expect, it, vi } from "vitest";

afterEach(reset);

const HEADER = "quayside-protocol";
const REFUSAL = { code: "unsupported_version", details: { supported: 1, retryAfterMs: 60_000 } };
const auth = bearerTokens({ token: { scopes: ["enqueue", "work", "admin"], subject: "tests" } });
const api = queueApi({ object: (bindings: Cloudflare.Env) => bindings.BARE_QUEUE, auth, cors: { origin: "*" } });
const authorization = "Bearer token";

/** The versions that the two sides of a connection speak; the sides themselves are of version 1. */
interface Versions {
  client: number;
  server: number;
}

/** The name of a queue, and drivers of it whose requests and answers are changed to these versions on their way. */
function overHttp(versions: Versions): Driver {
  const fetch = async (url: string, init: RequestInit) => {
    const headers = { ...(init.headers as Record<string, string>), [HEADER]: `${versions.client}` };
    const response = await api.request(url, { ...init, headers }, env);
    const answer = new Response(response.body, response);
    // A server of version 2 reads version 1 too, and answers in its own.
    if (versions.server > 1) answer.headers.set(HEADER, `${versions.server}`);
    return answer;
  };
  return httpDriver({ url: "", token: "token", fetch, clock: createManualClock() });
}

function overRpc(versions: Versions, name: string): Driver {
  const stub = () => {
    const inner = env.BARE_QUEUE.getByName(name) as unknown as Record<string, (...given: unknown[]) => Promise<object>>;
    const as = (version: number) => {
      // What `queueStub` passes on: the version is the last of the arguments.
      const object = { idFromName: () => "", get: () => changed };
      const changed = new Proxy(inner, {
        get:
          (_, verb: string) =>
          async (...given: unknown[]) => {
            const reply = await inner[verb]?.(...given.slice(0, -1), version);
            return versions.server > 1 ? { ...reply, protocol: versions.server } : reply;
          },
      });
      return queueStub(object as never, name);
    };
    return as(versions.client);
  };
  return new StubDriver(stub, { clock: createManualClock() });
}

describe.each([
  ["HTTP", overHttp],
  ["RPC", overRpc],
] as const)("R39: over %s", (way, open) => {
  const names = ["client of 2", "client of 1"].map((side) => `${way} ${side}`);
  const aside = (name: string) => new StubDriver(() => queueStub(env.BARE_QUEUE, name));

  it.each([
    ["a client of protocol 2 and an edge of 1", { client: 2, server: 1 }],
    ["a client of protocol 1 and an edge of 2", { client: 1, server: 2 }],
  ])("%s say so, and nothing is lost", async (_, apart) => {
    const name = names[apart.client - 1] as string;
    const versions: Versions = { client: 1, server: 1 };
    const driver = open(versions, name);
    const before = { queue: name, name: "email", payload: "1", id: "before" };
    await driver.enqueue([before]);
    Object.assign(versions, apart);
    const calls: Record<string, () => Promise<unknown>> = {
      enqueue: () =>
        driver.enqueue([{ ...before, id: "during" }], { sender: "s", number: 1, digest: "d", ttlMs: 60_000 }),
      exchange: () =>
        driver.exchange({
          ...{ worker: "worker", liveness: "time", leaseMs: 30_000, exchange: 1, settle: [], running: [] },
          claim: { limit: 1, queues: [{ queue: name }] },
        }),
      get: () => driver.get(name, "before"),
      list: () => driver.list({ queue: name }),
      counts: () => driver.counts(name),
      command: () => driver.command({ type: "pause", queue: name }),
      schedules: () => driver.schedules(name),
      nextWake: () => driver.nextWake([name]),
    };
    for (const [verb, call] of Object.entries(calls)) {
      const error = await call().catch((thrown: unknown) => thrown);
      expect({ verb, error }).toMatchObject({ verb, error: REFUSAL });
    }
    // An edge refuses before it does anything. One of version 2 has done what it was asked, and is asked again.
    expect(await aside(name).counts(name)).toMatchObject(
      apart.client === 2 ? { waiting: 1, active: 0, paused: false } : { active: 1, paused: true },
    );
    Object.assign(versions, { client: 1, server: 1 });
    await calls["enqueue"]?.();
    expect(await driver.get(name, "during")).toMatchObject({ id: "during" });
    expect(await calls["exchange"]?.()).toMatchObject({ jobs: [{ job: { id: "before" } }] });
    await driver.close();
  });

  it("a worker of another protocol reports it and does not spin, and works on after the update", async () => {
    const name = `${way} worker`;
    const versions: Versions = { client: 2, server: 1 };
    const clock = createManualClock();
    const driver = open(versions, name);
    const id = "kept";
    await aside(name).enqueue([{ queue: name, name: "email", payload: "1", id }]);
    const queue = new Queue(name, driver, { clock });
    const errors: unknown[] = [];
    const ran: string[] = [];
    queue.on("error", ({ error }) => errors.push(error));
    queue.on("job:email", (_payload, ctx) => void ran.push(ctx.id));
    await queue.run();
    await expect(queue.drain()).rejects.toMatchObject(REFUSAL);
    const reported = errors.length;
    await clock.advance(59_000);
    expect(errors).toHaveLength(reported);
    expect(await aside(name).get(name, id)).toMatchObject({ state: "waiting", attempts: 0 });
    versions.client = 1;
    await clock.advance(60_000);
    await vi.waitFor(() => expect(ran).toEqual([id]));
    await queue.stop();
    await driver.close();
  });
});

describe("R39: over HTTP", () => {
  const ask = (headers: Record<string, string>) => api.request("/mail/counts", { headers }, env);

  it("a request without a version is of version 1, and each answer says its own", async () => {
    for (const headers of [{ authorization }, { authorization, [HEADER]: "1" }, {}]) {
      const response = await ask(headers);
      expect([response.status, response.headers.get(HEADER)]).toEqual(["authorization" in headers ? 200 : 401, "1"]);
    }
  });

  it.each(["0", "2", "1.5", "99999999999999999999", "one", "1, 1", ""])("version %j is refused", async (version) => {
    const response = await ask({ authorization, [HEADER]: version });
    expect(response.status).toBe(400);
    expect(response.headers.get("retry-after")).toBe("60");
    expect(response.headers.get(HEADER)).toBe("1");
    expect(await response.json()).toMatchObject(REFUSAL);
  });

  it("a page of another origin may send the version, and read it", async () => {
    const origin = "https://page.example";
    const asked = { origin, "access-control-request-method": "POST", "access-control-request-headers": HEADER };
    const preflight = await api.request("/mail/jobs", { method: "OPTIONS", headers: asked }, env);
    expect(preflight.headers.get("access-control-allow-headers")).toContain(HEADER);
    const answer = await ask({ authorization, origin });
    expect(answer.headers.get("access-control-expose-headers")).toContain(HEADER);
  });
});

describe("R39: over RPC", () => {
  it.each([[0], [2], ["1.5"], [{}], [[1]], [{ toString: 1 }], [Number.NaN]])(
    "version %j is refused",
    async (version) => {
      const rpc = env.BARE_QUEUE.getByName("odd") as unknown as QueueRpc;
      expect(await rpc.counts("mail", version as number)).toMatchObject({ ok: false, error: REFUSAL });
    },
  );

  it("a call without a version is of version 1, and each reply says its own", async () => {
    const rpc = env.BARE_QUEUE.getByName("plain") as unknown as QueueRpc;
    expect(await rpc.counts("mail")).toMatchObject({ ok: true, protocol: 1 });
    expect(await rpc.counts(5 as never)).toMatchObject({ ok: false, protocol: 1 });
  });
});
