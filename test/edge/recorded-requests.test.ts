import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { bearerTokens, queueApi } from "@quayside/edge";
import { afterEach, expect, it } from "vitest";

afterEach(reset);

/** A request of a released client, and the answer that it understands. */
interface Recorded {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status?: number;
  readonly answer?: unknown;
}

/** By the version of the protocol. Until the first release they may be recorded again, from the message of a failure. */
const recordings = import.meta.glob<readonly Recorded[]>("../fixtures/http-*.json", { import: "default", eager: true });
const auth = bearerTokens({ token: { scopes: ["enqueue", "work", "admin"], subject: "recorded" } });
const api = queueApi({ object: (bindings: Cloudflare.Env) => bindings.BARE_QUEUE, auth });

/** Instants and durations differ from run to run: they are recorded as 0. */
const stable = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_, part) => (typeof part === "number" && part > 1_000 ? 0 : part)));

it("there is a recording of protocol 1", () => {
  expect(Object.keys(recordings)).toContain("../fixtures/http-1.json");
});

it.each(Object.entries(recordings))("R39: requests of %s are answered as they were", async (file, recorded) => {
  const version = /(\d+)\.json$/.exec(file)?.[1] as string;
  const now: Recorded[] = [];
  for (const { status: _, answer: __, ...request } of recorded) {
    const response = await api.request(
      request.path,
      {
        method: request.method,
        headers: {
          authorization: "Bearer token",
          "quayside-protocol": version,
          ...(request.body !== undefined && { "content-type": "application/json" }),
          ...request.headers,
        },
        ...(request.body !== undefined && { body: JSON.stringify(request.body) }),
      },
      env,
    );
    expect(response.headers.get("quayside-protocol")).toBe(version);
    now.push({ ...request, status: response.status, answer: stable(await response.json()) });
  }
  expect(now, `Recorded today:\n${JSON.stringify(now, null, 2)}\n`).toEqual(recorded);
});
