import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { QuaysideError } from "@quayside/core";
import type { ExchangeRequest, NewJob } from "@quayside/core/engine";
import { httpDriver } from "@quayside/core/http";
import { bearerTokens, queueApi } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Answer, open, pausing, type Sent } from "./fake-api.ts";
import { api } from "./queues.ts";

afterEach(reset);

const job = (queue = "mail", more: Partial<NewJob> = {}): NewJob => ({
  queue,
  name: "note",
  payload: '{"board":"a","note":"b"}',
  ...more,
});
const receipts: Answer = ({ body }) =>
  Response.json((body as unknown[]).map((_, index) => ({ id: `${index}`, deduplicated: false })));
const inProgress = (headers = {}) =>
  Response.json({ status: 409, code: "in_progress", detail: "Still at it." }, { status: 409, headers });
const lost = () => Promise.reject(new TypeError("Failed to fetch"));

/** Answers one after the other, the last of them again and again. */
const inTurn = (...answers: readonly Answer[]): Answer => {
  let turn = 0;
  return (...args) => (answers[Math.min(turn++, answers.length - 1)] as Answer)(...args);
};

const keys = (sent: readonly Sent[]) => sent.map(({ key }) => key);

describe("HttpDriver: Idempotency-Key", () => {
  it("goes with every add, another for each call and each of its requests", async () => {
    const { driver, sent } = open(receipts);
    await driver.enqueue([job("mail"), job("logs")]);
    await driver.enqueue([job("mail")]);
    expect(new Set(keys(sent)).size).toBe(3);
    for (const key of keys(sent)) expect(key).toMatch(/^"[0-9a-f]{32}\/\d"$/);
  });

  it("goes with every exchange: the worker, the number and the queue, so the same when it is sent again", async () => {
    const { driver, sent } = open(() =>
      Response.json({ jobs: [], lost: [], cancel: [], interrupted: [], unknown: [] }),
    );
    const round = (exchange: number): ExchangeRequest => ({
      ...{ worker: 'w"1', liveness: "time", leaseMs: 1_000, exchange, settle: [], running: [] },
      claim: { limit: 1, queues: [{ queue: "a/b" }, { queue: "c" }] },
    });
    for (const exchange of [1, 1, 2]) await driver.exchange(round(exchange));
    expect(keys(sent)).toEqual([1, 1, 2].flatMap((exchange) => [`"w%221/${exchange}/a%2Fb"`, `"w%221/${exchange}/c"`]));
  });

  it("of a numbered request is its sender's and its number's, so that others on the way know it again", async () => {
    const { driver, sent } = open(receipts);
    const request = (number: number, sender = "outbox") => ({ sender, number, digest: "d" });
    for (const number of [7, 7, 8]) await driver.enqueue([job("mail"), job("logs")], request(number));
    expect(keys(sent)).toEqual([7, 7, 8].flatMap((n) => [`"outbox%2F0/${n}"`, `"outbox%2F1/${n}"`]));
    sent.length = 0;
    // However long its name, and whatever is in it.
    for (const end of ["a", "a", "b"]) await driver.enqueue([job()], request(1, `${"ñ".repeat(200)}${end}`));
    const [one, again, other] = keys(sent);
    expect(one).toBe(again);
    expect(one).not.toBe(other);
    for (const key of [one, other]) expect(key).toMatch(/^"[!#-[\]-~]{1,255}"$/);
  });

  it("lets an add whose answer was lost be sent again: once, after a moment, under the same key", async () => {
    const { clock, pass, pauses } = pausing();
    const { driver, sent } = open(inTurn(lost, receipts), { clock });
    const adding = driver.enqueue([job()]);
    await pass(250);
    expect(await adding).toEqual([{ id: "0", deduplicated: false }]);
    expect(sent).toHaveLength(2);
    expect(sent[1]).toEqual(sent[0]);
    expect(pauses).toEqual([]);
  });

  it("sends an add again with the token of the first send, whoever has signed in meanwhile (R37)", async () => {
    const { clock, pass } = pausing();
    let now = "ann";
    const answers: Answer[] = [lost, inProgress, receipts];
    const { driver, sent } = open((...args) => (answers.shift() as Answer)(...args), { clock, token: () => now });
    const adding = driver.enqueue([job()]);
    await vi.waitFor(() => expect(sent).toHaveLength(1));
    now = "bob";
    await pass(250);
    await pass(1_000);
    expect(await adding).toEqual([{ id: "0", deduplicated: false }]);
    expect(sent.map(({ authorization }) => authorization)).toEqual(Array.from({ length: 3 }, () => "Bearer ann"));
    answers.push(receipts);
    await driver.enqueue([job()]);
    expect(sent[3]?.authorization).toBe("Bearer bob");
  });

  it("asks for a new token after a 401 to the first send, and sends the repeat with that", async () => {
    const { clock, pass } = pausing();
    const given: string[] = [];
    const token = (refused?: string) => {
      const next = refused === undefined ? (given.length === 0 ? "old" : "other") : "renewed";
      given.push(next);
      return next;
    };
    const refusal = () => Response.json({ status: 401, code: "unauthorized", detail: "No." }, { status: 401 });
    const { driver, sent } = open(inTurn(refusal, lost, receipts), { clock, token });
    const adding = driver.enqueue([job()]);
    await pass(250);
    await adding;
    expect(sent.map(({ authorization }) => authorization)).toEqual(["Bearer old", "Bearer renewed", "Bearer renewed"]);
    expect(given).toEqual(["old", "renewed"]);
  });

  it.each([
    [401, "unauthorized"],
    [403, "forbidden"],
  ])("says that an add may have been done whose repeat is answered %i", async (status, code) => {
    const { clock, pass } = pausing();
    let asked = 0;
    const refusal = () => Response.json({ status, code, detail: "No." }, { status });
    const { driver, sent } = open(inTurn(lost, refusal), { clock, token: () => `token-${++asked}` });
    const refused = expect(driver.enqueue([job()])).rejects.toMatchObject({ code: "network" });
    await pass(250);
    await refused;
    expect(sent.map(({ authorization }) => authorization)).toEqual(["Bearer token-1", "Bearer token-1"]);
  });

  it("adds nothing for another subject when the token changes between the two sends", async () => {
    const { clock, pass } = pausing();
    let now = "ann";
    let losing = true;
    const people = queueApi({
      object: (bindings: Cloudflare.Env) => bindings.BARE_QUEUE,
      auth: bearerTokens({
        ann: { subject: "ann", scopes: ["enqueue"] },
        bob: { subject: "bob", scopes: ["enqueue"] },
      }),
    });
    const driver = httpDriver({
      url: "",
      clock,
      token: () => now,
      fetch: async (url, init) => {
        const answer = await people.request(url, init, env);
        if (!losing) return answer;
        losing = false;
        now = "bob";
        throw new TypeError("Failed to fetch");
      },
    });
    const adding = driver.enqueue([job()]);
    await pass(250);
    await adding;
    expect(await env.BARE_QUEUE.getByName("mail").counts("mail")).toMatchObject({ value: { waiting: 1 } });
  });

  it("lost twice, it is the caller's to decide", async () => {
    const { clock, pass } = pausing();
    const { driver, sent } = open(lost, { clock });
    const refused = expect(driver.enqueue([job()])).rejects.toMatchObject({ code: "network" });
    await pass(250);
    await refused;
    expect(sent).toHaveLength(2);
  });

  it.each([
    ["a gateway that answers for the server", () => new Response("", { status: 502 }), "network"],
    ["a refusal", () => Response.json({ code: "forbidden" }, { status: 403 }), "forbidden"],
  ] as const)("sends nothing again after %s", async (_, answer, code) => {
    const { driver, sent } = open(answer);
    await expect(driver.enqueue([job()])).rejects.toMatchObject({ code });
    expect(sent).toHaveLength(1);
  });

  it("sends nothing else again, and numbered requests neither: who numbers them does", async () => {
    const { driver, sent } = open(lost);
    await expect(driver.counts("mail")).rejects.toMatchObject({ code: "network" });
    await expect(driver.command({ type: "pause", queue: "mail" })).rejects.toMatchObject({ code: "network" });
    await expect(driver.enqueue([job()], { sender: "s", number: 1, digest: "d" })).rejects.toMatchObject({
      code: "network",
    });
    expect(sent).toHaveLength(3);
  });

  it("that is still in progress is asked after, when the server says, and not for ever", async () => {
    const { clock, pass } = pausing();
    const slow = inTurn(
      lost,
      () => inProgress({ "retry-after": "3" }),
      () => inProgress(),
      receipts,
    );
    const { driver, sent } = open(slow, { clock });
    const adding = driver.enqueue([job()]);
    for (const ms of [250, 3_000, 1_000]) await pass(ms);
    expect(await adding).toHaveLength(1);
    expect(new Set(keys(sent)).size).toBe(1);

    const stuck = open(() => inProgress(), { clock });
    const refused = stuck.driver.enqueue([job()]).catch((error: QuaysideError) => error.code);
    for (let question = 0; question < 5; question++) await pass(1_000);
    expect(await refused).toBe("in_progress");
    expect(stuck.sent).toHaveLength(6);
  });
});

describe("HttpDriver and the API", () => {
  /** A driver on the real app; the test decides what becomes of each answer. */
  function connected(lose: (request: number) => boolean) {
    let request = 0;
    const { clock, pass } = pausing();
    const driver = httpDriver({
      url: "",
      token: "token-all",
      clock,
      fetch: async (url, init) => {
        const response = await api.request(url, init, env);
        if (lose(++request)) throw new TypeError("The connection was reset.");
        return response;
      },
    });
    return { driver, pass, requests: () => request };
  }

  it("an add whose answer was lost is done once", async () => {
    const { driver, pass, requests } = connected((request) => request === 1);
    const adding = driver.enqueue([job(), job()]);
    await pass(250);
    const added = await adding;
    expect(added.map(({ deduplicated }) => deduplicated)).toEqual([false, false]);
    expect(requests()).toBe(2);
    expect(await driver.counts("mail")).toMatchObject({ waiting: 2 });
  });

  it("a mark may have a time of its own, over HTTP too", async () => {
    const { driver } = connected(() => false);
    const request = { sender: "s", number: 1, digest: "d", ttlMs: 60_000 };
    const first = await driver.enqueue([job()], request);
    expect(await driver.enqueue([job()], request)).toEqual(first);
    await env.BARE_QUEUE.getByName("mail").jump(60_000);
    expect(await driver.enqueue([job()], request)).not.toEqual(first);
  });
});
