import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Queue } from "@quayside/core";
import type { NewJob } from "@quayside/core/engine";
import { bearerTokens, type QueueNamespace, queueApi, queueStub, StubDriver } from "@quayside/edge";
import { afterEach, describe, expect, it } from "vitest";

afterEach(reset);

/** Rows of attacks by tokens of one queue on another of the same object, by the verbs that go in pages, an input each. */

const MARK = "hunter2";
const shared = ({ BARE_QUEUE }: Cloudflare.Env): QueueNamespace => ({
  idFromName: () => BARE_QUEUE.idFromName("shared"),
  get: (id) => BARE_QUEUE.get(id),
});
const all = ["enqueue", "work", "admin"] as const;
const app = queueApi({
  object: shared,
  auth: bearerTokens({
    root: { subject: "root", scopes: [...all] },
    mine: { subject: "mine", scopes: [...all], queues: ["mine"] },
    slash: { subject: "slash", scopes: [...all], queues: ["secret/root", "secret/mine", "secret#1"] },
    adds: { subject: "adds", scopes: ["enqueue"], queues: ["mine", "secret"] },
    works: { subject: "works", scopes: ["work"], queues: ["mine"] },
  }),
});

async function send(token: string, path: string, method = "GET", body?: unknown): Promise<string> {
  const response = await app.request(
    path,
    {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    },
    env,
  );
  const text = await response.text();
  const shown = text.includes(MARK) ? " TELLS" : "";
  const parsed = text.startsWith("[")
    ? `list of ${(JSON.parse(text) as unknown[]).length}`
    : text === ""
      ? "nothing"
      : Object.entries(JSON.parse(text) as object)
          .map(([key, value]) => (Array.isArray(value) ? `${key} ${value.length}` : key === "code" ? `${value}` : ""))
          .filter(Boolean)
          .join(" ");
  return `${response.status} ${parsed}${shown}`.trim();
}

/** In queue `secret` a parent whose children have ended, and recurrences; in `mine` a parent of its own. */
async function stock(): Promise<void> {
  const driver = new StubDriver(() => queueStub(shared(env), "secret"));
  const flow = (queue: string, id: string): readonly NewJob[] => [
    { queue, name: "root", id, payload: `"${queue === "secret" ? MARK : "own"}"`, flow: { ref: queue } },
    ...[1, 2, 3].map((n) => ({
      queue,
      name: "kid",
      id: `${id}-kid-${n}`,
      payload: `"${queue === "secret" ? MARK : "own"}"`,
      flow: { parentRef: queue },
    })),
  ];
  await driver.enqueue([...flow("secret", "root"), ...flow("mine", "root")]);
  const queue = new Queue("secret", driver);
  const mine = new Queue("mine", driver);
  queue.on("job:kid", () => MARK);
  mine.on("job:kid", () => "own");
  await queue.drain();
  await mine.drain();
  for (const key of ["a", MARK, "z"]) await queue.schedule(key, { every: "1h", name: "kid", payload: MARK });
  await mine.schedule("m", { every: "1h", name: "kid", payload: "own" });
}

describe("attacks F: pages of another queue of the object", () => {
  const kid = (queue: string, n: number) => encodeURIComponent(JSON.stringify([queue, `root-kid-${n}`]));
  const rows: readonly (readonly [token: string, path: string, came: string])[] = [
    ["root", "/secret/jobs/root/children", "200 children 3 TELLS"],
    ["mine", "/secret/jobs/root/children", "403 forbidden"],
    ["mine", "/mine/jobs/root/children", "200 children 3"],
    ["mine", "/mine/jobs/root-kid-1/children", "200 children 0"],
    ["mine", "/mine/jobs/none/children", "200 children 0"],
    ["mine", `/mine/jobs/root/children?after=${kid("secret", 1)}`, "200 children 0"],
    ["mine", `/mine/jobs/root/children?after=${kid("mine", 1)}`, "200 children 2"],
    ["mine", `/mine/jobs/root/children?after=${kid("mine", 3)}`, "200 children 0"],
    ["mine", "/mine/jobs/root/children?after=%00", "200 children 3"],
    ["mine", "/mine/jobs/root/children?after=%F4%8F%BF%BF", "200 children 0"],
    ["mine", "/mine/jobs/root/children?after=%ED%A0%80", "200 children 0"],
    ["mine", `/mine/jobs/root/children?after=${"x".repeat(10_000)}`, "200 children 0"],
    ["mine", "/mine/jobs/root/children?after=a&after=b", "400 bad_request errors 1"],
    ["mine", "/mine/jobs/root/children?limit=1", "400 bad_request errors 1"],
    ["mine", "/mine/jobs/..%2F..%2Fsecret%2Fjobs%2Froot/children", "200 children 0"],
    ["mine", "/mine/jobs/secret%2Froot/children", "200 children 0"],
    ["mine", "/mine%2F..%2Fsecret/jobs/root/children", "403 forbidden"],
    ["mine", "/secret%00/jobs/root/children", "403 forbidden"],
    ["slash", "/secret%2Froot/jobs/root/children", "200 children 0"],
    ["slash", "/secret%2Fmine/jobs/root/children", "200 children 0"],
    ["slash", "/secret%231/jobs/root/children", "200 children 0"],
    ["slash", "/secret%2Froot/schedules", "200 list of 0"],
    ["slash", "/secret%231/jobs", "200 jobs 0"],
    ["slash", "/secret%2Froot/jobs?state=completed", "200 jobs 0"],
    ["adds", "/mine/jobs/root/children", "403 forbidden"],
    ["works", "/mine/jobs/root/children", "200 children 3"],
    ["works", "/secret/jobs/root/children", "403 forbidden"],
    ["mine", "/secret/schedules", "403 forbidden"],
    ["mine", "/mine/schedules", "200 list of 1"],
    ["mine", "/mine/schedules?after=", "200 list of 1"],
    ["mine", "/mine/schedules?after=m", "200 list of 0"],
    ["mine", "/mine/schedules?after=%00", "200 list of 1"],
    ["mine", "/mine/schedules?after=%F4%8F%BF%BF", "200 list of 0"],
    ["mine", `/mine/schedules?after=${encodeURIComponent("m\u0001secret")}`, "200 list of 0"],
    ["mine", "/mine/schedules?after=../secret", "200 list of 1"],
    ["mine", `/mine/schedules?after=${"x".repeat(10_000)}`, "400 bad_request errors 1"],
    ["works", "/secret/schedules", "403 forbidden"],
    ["adds", "/mine/schedules", "403 forbidden"],
    ["root", "/secret/schedules?after=a", "200 list of 2 TELLS"],
    ["root", "/secret/schedules?after=z", "200 list of 0"],
    ["mine", "/secret/counts", "403 forbidden"],
    ["adds", "/secret/counts", "403 forbidden"],
    ["mine", "/mine/counts?queue=secret", "200"],
    ["mine", "/mine/counts", "200"],
    ["mine", "/mine/next-wake", "200"],
    ["adds", "/mine/next-wake", "403 forbidden"],
    ["mine", "/mine/jobs/root-kid-1", "200 tags 0 logs 0"],
    ["mine", "/mine/jobs?tags=x&tags=x", "200 jobs 0"],
    ["mine", "/mine/jobs?limit=1&limit=1000", "400 bad_request errors 1"],
  ];
  it.each(rows)("%s: GET %s", async (token, path, expected) => {
    await stock();
    expect(await send(token, path)).toBe(expected);
  });

  const acts: readonly (readonly [token: string, method: string, path: string, came: string, body?: unknown])[] = [
    ["mine", "DELETE", "/mine/schedules/a", "200"],
    ["mine", "DELETE", `/mine/schedules/${MARK}`, "200"],
    ["mine", "DELETE", "/mine/jobs/root", "200"],
    ["mine", "POST", "/mine/jobs/root-kid-1/retry", "409 conflict"],
    ["slash", "POST", "/secret%2Froot/clear", "200"],
    ["slash", "POST", "/secret%2Froot/retry", "200"],
    ["slash", "POST", "/secret%231/pause", "200"],
    ["slash", "PUT", "/secret%231/schedules/a", "200", { rule: { every: 60_000 }, job: { name: "kid", payload: 1 } }],
    ["mine", "POST", "/mine/clear", "200"],
    ["mine", "PUT", "/mine/schedules/a", "200", { rule: { every: 60_000 }, job: { name: "kid", payload: 1 } }],
    ["adds", "POST", "/secret/jobs", "201", { name: "kid", payload: 1, options: { id: "root-kid-1" } }],
    ["adds", "POST", "/secret/jobs", "201 list of 1", [{ name: "root", payload: 1, options: { id: "root" } }]],
    ["mine", "POST", "/mine/jobs", "400 bad_request errors 1", [{ name: "kid", payload: 1, queue: "secret" }]],
    [
      "mine",
      "POST",
      "/mine/jobs",
      "201 list of 2",
      [
        { name: "root", payload: 1, flow: { ref: "r" } },
        { name: "kid", payload: 1, options: { id: "root-kid-1" }, flow: { parentRef: "r" } },
      ],
    ],
  ];
  const cases = acts.map(([token, method, path, came, body]) => [token, method, path, came, body] as const);
  it.each(cases)("%s: %s %s changes nothing of the other", async (token, method, path, expected, body) => {
    await stock();
    const view = () =>
      Promise.all(
        ["/secret/counts", "/secret/jobs", "/secret/schedules", "/secret/jobs/root/children"].map(async (of) =>
          (await app.request(of, { headers: { authorization: "Bearer root" } }, env)).text(),
        ),
      );
    const before = await view();
    expect(await send(token, path, method, body)).toBe(expected);
    expect(await view()).toEqual(before);
  });

  it("events of one queue tell nothing of the other", async () => {
    await stock();
    const response = await app.request("/mine/events", { headers: { authorization: "Bearer mine" } }, env);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let text = "";
    for (const [token, queue] of [
      ["root", "secret"],
      ["root", "secret"],
      ["mine", "mine"],
    ] as const)
      await send(token, `/${queue}/jobs`, "POST", { name: "kid", payload: queue === "secret" ? MARK : 1 });
    while (!text.includes("mine")) text += new TextDecoder().decode((await reader.read()).value);
    await reader.cancel();
    expect(text).not.toContain("secret");
    expect(text).not.toContain(MARK);
  });
});
