import { reset } from "cloudflare:test";
import { env, RpcTarget } from "cloudflare:workers";
import { QuaysideError } from "@quayside/core";
import { edgeQueue, fromQueueBatch, fromScheduled, type QueueBatchOptions } from "@quayside/edge";
import { afterEach, describe, expect, it } from "vitest";
import { ATTACKS, jobs as dispatched, faults } from "./dispatch-queue.ts";
import { jobs } from "./queues.ts";
import { ended } from "./work-queue.ts";

afterEach(async () => {
  ATTACKS.clear();
  faults.length = 0;
  await reset();
});

/** Rows of attacks on bridges and consumers, an input each, with what came of it. */

let opened = 0;
const odd = <T>(value: unknown): T => value as T;
const refusal = (error: unknown): string =>
  error instanceof QuaysideError ? `refused ${error.code}` : `raw ${String(error).slice(0, 80)}`;

const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
const broken = { code: "handler_failed", message: "broken" };
interface Link {
  report(report: unknown): Promise<void>;
  children(from: unknown): Promise<unknown>;
  enqueue(request: unknown): Promise<unknown>;
  publish(request: unknown): Promise<unknown>;
  aborted(): Promise<unknown>;
}
type Answer = (link: Link) => unknown;
const done = { outcome: "completed" };
// biome-ignore lint/suspicious/noThenProperty: what looks like a promise is one of the attacks
const thenable = (then: (resolve: (answer: unknown) => void) => void): object => Object.fromEntries([["then", then]]);

describe("attacks T: answers of a consumer", () => {
  const rows: readonly (readonly [input: string, came: string, answer: Answer])[] = [
    [
      "a promise that never settles",
      'failed 2; network: The consumer of job "attacked" ended without an answer: The ',
      () => new Promise(() => {}),
    ],
    ["a thenable", "completed 1; result of 1", () => thenable((resolve) => resolve({ ...done, result: "1" }))],
    [
      "a thenable that never settles",
      'failed 2; network: The consumer of job "attacked" ended without an answer: The ',
      () => thenable(() => {}),
    ],
    [
      "a thenable that throws",
      'failed 2; network: The consumer of job "attacked" ended without an answer: no',
      () =>
        thenable(() => {
          throw new Error("no");
        }),
    ],
    [
      "a getter that throws",
      'failed 2; network: The consumer of job "attacked" ended without an answer: no',
      () => ({
        get outcome() {
          throw new Error("no");
        },
      }),
    ],
    [
      "a getter that answers another each time",
      "completed 1; ",
      () => {
        let reads = 0;
        return Object.defineProperty({}, "outcome", {
          get: () => (reads++ === 0 ? "completed" : "failed"),
          enumerable: true,
        });
      },
    ],
    [
      "a Proxy",
      'failed 2; network: The consumer of job "attacked" answered a function, so the a',
      () => new Proxy(done, {}),
    ],
    ["a function", 'failed 2; network: The consumer of job "attacked" answered a function, so the a', () => () => done],
    [
      "a function as outcome",
      'failed 2; network: The consumer of job "attacked" answered an object with anoth',
      () => ({ outcome: () => "completed" }),
    ],
    [
      "an RpcTarget",
      'failed 2; network: The consumer of job "attacked" answered a function, so the a',
      () =>
        new (class extends RpcTarget {
          outcome = "completed";
        })(),
    ],
    [
      "a Response",
      'failed 2; network: The consumer of job "attacked" answered an object without an',
      () => Response.json(done),
    ],
    [
      "a stream",
      'failed 2; network: The consumer of job "attacked" answered an object without an',
      () => new ReadableStream(),
    ],
    [
      "a Map",
      'failed 2; network: The consumer of job "attacked" answered an object without an',
      () => new Map([["outcome", "completed"]]),
    ],
    ["a Date", 'failed 2; network: The consumer of job "attacked" answered an object without an', () => new Date(0)],
    [
      "an Error",
      'failed 2; network: The consumer of job "attacked" answered an object without an',
      () => new Error("returned"),
    ],
    ["a bigint", 'failed 2; network: The consumer of job "attacked" answered a bigint, so the att', () => 1n],
    [
      "a symbol",
      'failed 2; network: The consumer of job "attacked" ended without an answer: Symb',
      () => Symbol("completed"),
    ],
    ["a list with an outcome", "completed 1; ", () => Object.assign([], done)],
    [
      "one that holds itself",
      "completed 1; ",
      () => {
        const one: Record<string, unknown> = { ...done };
        one["self"] = one;
        return one;
      },
    ],
    ["fields more", "completed 1; ", () => ({ ...done, token: "1.0", lost: true })],
    [
      "a result of 128 KiB and one byte",
      "failed 1; result_too_large: The result is 131073 bytes of JSON; at most 131072 are kept.",
      () => ({ ...done, result: JSON.stringify("x".repeat(128 * 1024 - 1)) }),
    ],
    [
      "a result of 10 MiB",
      "failed 1; result_too_large: The result is 10485762 bytes of JSON; at most 131072 are kep",
      () => ({ ...done, result: JSON.stringify("x".repeat(10 << 20)) }),
    ],
    [
      "a result of 40 MiB",
      'failed 2; network: The consumer of job "attacked" ended without an answer: Seri',
      () => ({ ...done, result: JSON.stringify("x".repeat(40 << 20)) }),
    ],
    [
      "a result nested 101 levels",
      "failed 1; invalid_result: result[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]",
      () => ({ ...done, result: deep(101) }),
    ],
    [
      "a result nested 20,000 levels",
      "failed 1; invalid_result: result[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]",
      () => ({ ...done, result: deep(20_000) }),
    ],
    [
      "an empty result",
      'failed 2; network: The consumer of job "attacked" answered a result that is no ',
      () => ({ ...done, result: "" }),
    ],
    ["a result of __proto__", "completed 1; result of 21", () => ({ ...done, result: '{"__proto__":{"a":1}}' })],
    [
      "a message of 10 MiB",
      "failed 2; handler_failed: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
      () => ({ outcome: "failed", failure: { ...broken, message: "x".repeat(10 << 20) } }),
    ],
    ["a code of its own", "failed 2; odd: broken", () => ({ outcome: "failed", failure: { ...broken, code: "odd" } })],
    [
      "a code of 10,000",
      'failed 2; network: The consumer of job "attacked" answered a failure without a ',
      () => ({ outcome: "failed", failure: { ...broken, code: "c".repeat(10_000) } }),
    ],
    [
      "a code of 1 MB",
      'failed 2; network: The consumer of job "attacked" answered a failure without a ',
      () => ({ outcome: "failed", failure: { ...broken, code: "c".repeat(1_000_000) } }),
    ],
    [
      "the code of an engine's error",
      "failed 2; lease_lost: broken",
      () => ({ outcome: "failed", failure: { ...broken, code: "lease_lost" } }),
    ],
    [
      "the code of a cancellation",
      "failed 2; cancelled: broken",
      () => ({ outcome: "failed", failure: { ...broken, code: "cancelled" } }),
    ],
    [
      "a name that is an object",
      "failed 2; handler_failed: broken",
      () => ({ outcome: "failed", failure: { ...broken, name: {} } }),
    ],
    [
      "a stack that is a number",
      "failed 2; handler_failed: broken",
      () => ({ outcome: "failed", failure: { ...broken, stack: 5 } }),
    ],
    [
      "a stack of 10 MiB",
      "failed 2; handler_failed: broken",
      () => ({ outcome: "failed", failure: { ...broken, stack: "s".repeat(10 << 20) } }),
    ],
    [
      "fields that are the error's own",
      "failed 2; handler_failed: broken",
      () => ({
        outcome: "failed",
        failure: { ...broken, fields: { message: "other", code: "odd", name: 5, constructor: 1 } },
      }),
    ],
    [
      "fields that are a text",
      "failed 2; handler_failed: broken",
      () => ({ outcome: "failed", failure: { ...broken, fields: "status" } }),
    ],
    [
      "fields of __proto__",
      "failed 2; handler_failed: broken",
      () => ({ outcome: "failed", failure: { ...broken, fields: JSON.parse('{"__proto__":{"status":404}}') } }),
    ],
    [
      "details that are a list",
      "failed 2; network: broken",
      () => ({ outcome: "failed", failure: { ...broken, code: "network", details: [1] } }),
    ],
    [
      "details of 1 MiB",
      "failed 2; network: broken",
      () => ({ outcome: "failed", failure: { ...broken, code: "network", details: { a: "x".repeat(1 << 20) } } }),
    ],
    [
      "sealed, though the job is not",
      "failed 2; handler_failed: An error of an encrypted job: its key reads it.",
      () => ({ outcome: "failed", failure: { ...broken, sealed: { "quayside:sealed": { a: 1 } } } }),
    ],
    [
      "sealed by a text",
      "failed 2; handler_failed: broken",
      () => ({ outcome: "failed", failure: { ...broken, sealed: "x" } }),
    ],
    [
      "a retry after 200 years",
      'failed 2; network: The consumer of job "attacked" answered a failure without a ',
      () => ({ outcome: "failed", failure: { ...broken, code: "retry_after", delay: 200 * 365 * 86_400_000 } }),
    ],
    [
      "a retry after a text",
      "failed 2; retry_after: broken",
      () => ({ outcome: "failed", failure: { ...broken, code: "retry_after", delay: "20ms" } }),
    ],
    [
      "a header of a retry after −5 s",
      "failed 2; handler_failed: broken",
      () => ({ outcome: "failed", failure: { ...broken, retryAfter: "-5" } }),
    ],
    [
      "a header of a retry with a line break",
      'failed 2; network: The consumer of job "attacked" answered a failure without a ',
      () => ({ outcome: "failed", failure: { ...broken, retryAfter: "1\r\nx: y" } }),
    ],
    [
      "a header of a retry that is a number",
      "failed 2; handler_failed: broken",
      () => ({ outcome: "failed", failure: { ...broken, retryAfter: 0 } }),
    ],
    [
      "a release after a bigint",
      'failed 2; network: The consumer of job "attacked" answered a release whose dela',
      () => ({ outcome: "released", delayMs: 5n }),
    ],
    [
      "a release after a list",
      'failed 2; network: The consumer of job "attacked" answered a release whose dela',
      () => ({ outcome: "released", delayMs: [5] }),
    ],
    [
      "a release after 200 years",
      'failed 2; network: The consumer of job "attacked" answered a release whose dela',
      () => ({ outcome: "released", delayMs: 200 * 365 * 86_400_000 }),
    ],
    [
      "undefined thrown",
      'failed 2; network: The consumer of job "attacked" ended without an answer: unde',
      () => {
        throw undefined;
      },
    ],
    [
      "an object thrown that cannot be read",
      'failed 2; network: The consumer of job "attacked" ended without an answer: [obj',
      () => {
        throw Object.defineProperty({}, "message", {
          get: () => {
            throw new Error("no");
          },
        });
      },
    ],
    [
      "a report of NaN",
      'failed 2; network: The consumer of job "attacked" ended without an answer: prog',
      async (link) => {
        await link.report({ progress: Number.NaN, lines: [] });
        return done;
      },
    ],
    [
      "a report of no lines",
      'failed 2; network: The consumer of job "attacked" ended without an answer: line',
      async (link) => {
        await link.report({ progress: 1 });
        return done;
      },
    ],
    [
      "a report of lines that are a text",
      "completed 1; 3 lines",
      async (link) => {
        await link.report({ lines: "abc" });
        return done;
      },
    ],
    [
      "a report of nothing",
      'failed 2; network: The consumer of job "attacked" ended without an answer: Cann',
      async (link) => {
        await link.report(undefined);
        return done;
      },
    ],
    [
      "a report of 5,000 lines",
      "completed 1; 100 lines",
      async (link) => {
        await link.report({ lines: Array(5_000).fill("line") });
        return done;
      },
    ],
    [
      "a report of 1 MiB of progress",
      'failed 2; network: The consumer of job "attacked" ended without an answer: The ',
      async (link) => {
        await link.report({ progress: "x".repeat(1 << 20), lines: [] });
        return done;
      },
    ],
    [
      "reports that are not awaited, and one after the end",
      "completed 1; ",
      (link) => {
        for (let n = 0; n < 50; n++) void link.report({ progress: n, lines: [`${n}`] }).catch(() => {});
        setTimeout(() => void link.report({ progress: "late", lines: ["late"] }).catch(() => {}), 50);
        return done;
      },
    ],
    [
      "children from −1, NaN and a text",
      "completed 1; ",
      async (link) => {
        for (const from of [-1, Number.NaN, "x", 1e9]) await link.children(from);
        return done;
      },
    ],
    [
      "an add of no name",
      "completed 1; result of 9",
      async (link) => ({
        ...done,
        result: JSON.stringify(await link.enqueue({ payload: 1 })).slice(0, 1) && JSON.stringify("refused"),
      }),
    ],
    [
      "an add of nothing",
      'failed 2; network: The consumer of job "attacked" ended without an answer: Cann',
      async (link) => {
        await link.enqueue(undefined);
        return done;
      },
    ],
    [
      "publish to 200 queues",
      "completed 1; ",
      async (link) => {
        await link.publish({ name: "here", payload: { n: 1 }, queues: Array.from({ length: 200 }, (_, n) => `q${n}`) });
        return done;
      },
    ],
    [
      "an answer before the link is used",
      "completed 1; ",
      (link) => {
        setTimeout(() => void link.enqueue({ name: "here", payload: { n: 1 } }).catch(() => {}), 30);
        return done;
      },
    ],
    [
      "a question for the end that is never awaited",
      "completed 1; ",
      (link) => {
        for (let n = 0; n < 20; n++) void link.aborted().catch(() => {});
        return done;
      },
    ],
  ];
  it.each(rows)("%s", async (input, expected, answer) => {
    ATTACKS.set(input, (call) => answer((call as { readonly link: Link }).link));
    const queue = edgeQueue<typeof dispatched>(env.DISPATCH_QUEUE, `attacked-${opened++}`, { jobs: dispatched });
    const id = await queue.addJob("attacked", input, { maxAttempts: 2 });
    const settled = await Promise.race([ended(queue, id), scheduler.wait(2_500).then(() => queue.get(id))]);
    const { state, attempts, error, result, progress, logs } = settled ?? odd<NonNullable<typeof settled>>({});
    const more = [
      result !== undefined && `result of ${JSON.stringify(result).length}`,
      progress !== undefined && `progress of ${JSON.stringify(progress).length}`,
      logs?.length > 0 && `${logs.length} lines`,
      error &&
        `${error.code.slice(0, 40)}: ${error.message.slice(0, 60)}${JSON.stringify(error).length > 20_000 ? " (large)" : ""}`,
    ].filter(Boolean);
    // The object still runs what comes after.
    const after = await ended(queue, await queue.addJob("here", { n: 1 }));
    expect(`${state} ${attempts}; ${more.join("; ")}${after.state === "completed" ? "" : " STUCK"}`).toBe(expected);
  });
});

describe("attacks T: answers of dispatch", () => {
  const rows: readonly (readonly [input: string, came: string, aim: (env: Cloudflare.Env) => unknown])[] = [
    [
      "throws undefined",
      "failed 2; handler_failed: undefined",
      () => {
        throw undefined;
      },
    ],
    [
      "throws an error that cannot be read",
      "failed 2; handler_failed: a value that cannot be read",
      () => {
        throw new Proxy(
          {},
          {
            get: () => {
              throw new Error("no");
            },
          },
        );
      },
    ],
    [
      "a promise that never settles",
      "failed 2; invalid_option: dispatch must answer with a binding to a jobConsumer, or a webhook, at once and ",
      () => new Promise(() => {}),
    ],
    [
      "a promise that rejects",
      "failed 2; invalid_option: dispatch must answer with a binding to a jobConsumer, or a webhook, at once and ",
      () => Promise.reject(new Error("no")),
    ],
    [
      "null",
      'failed 2; invalid_option: dispatch names no consumer for job "aimed": is the binding missing?',
      () => null,
    ],
    [
      "a number",
      "failed 2; invalid_option: dispatch must answer with a binding to a jobConsumer, or a webhook, at once and ",
      () => 5,
    ],
    [
      "an object whose runJob is a text",
      "failed 2; invalid_option: dispatch must answer with a binding to a jobConsumer, or a webhook, at once and ",
      () => ({ runJob: "x" }),
    ],
    [
      "an object whose runJob throws",
      'failed 2; network: The consumer of job "aimed" ended without an answer: no',
      () => ({
        runJob: () => {
          throw new Error("no");
        },
      }),
    ],
    [
      "an object whose runJob does not settle yet",
      "active 1; undefined: undefined",
      () => ({ runJob: () => new Promise(() => {}) }),
    ],
    [
      "an object whose runJob is a getter that throws",
      "failed 2; handler_failed: no",
      () => ({
        get runJob() {
          throw new Error("no");
        },
      }),
    ],
    [
      "a namespace of Durable Objects",
      "failed 2; invalid_option: dispatch must answer with a binding to a jobConsumer, or a webhook, at once and ",
      ({ BARE_QUEUE }) => BARE_QUEUE,
    ],
    [
      "an object of another kind",
      'failed 2; network: The consumer of job "aimed" ended without an answer: The RPC receiver does not i',
      ({ BARE_QUEUE }) => BARE_QUEUE.getByName("x"),
    ],
    [
      "a revoked Proxy",
      "failed 2; handler_failed: Cannot perform 'get' on a proxy that has been revoked",
      () => {
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        return proxy;
      },
    ],
    ["the consumer, which has no such job", "delayed 0; undefined: undefined", ({ CONSUMER }) => CONSUMER],
  ];
  it.each(rows)("%s", async (input, expected, aim) => {
    ATTACKS.set(input, (env) => aim(env as Cloudflare.Env));
    const queue = edgeQueue<typeof dispatched>(env.DISPATCH_QUEUE, `aimed-${opened++}`, { jobs: dispatched });
    const id = await queue.addJob("aimed", input, { maxAttempts: 2 });
    const job = await Promise.race([ended(queue, id), scheduler.wait(1_500).then(() => queue.get(id))]);
    const after = await ended(queue, await queue.addJob("here", { n: 1 }));
    expect(
      `${job?.state} ${job?.attempts}; ${job?.error?.code}: ${job?.error?.message.slice(0, 80)}${after.state === "completed" ? "" : " STUCK"}`,
    ).toBe(expected);
  });
});

/** A queue whose jobs wait, so that what was added can be looked at. */
const open = () => edgeQueue<typeof jobs>(env.WORK_QUEUE, `bridged-${opened++}`, { jobs, defaults: { delay: "1h" } });
const email = (to: string) => ({ name: "email", payload: { to } });
const stored = async (queue: ReturnType<typeof open>) => (await queue.counts()).delayed;

interface Told {
  readonly id: string;
  readonly body: unknown;
  readonly said: string[];
}

/** A message as the platform gives it, which notes what it is told. */
const message = (id: unknown, body: unknown, more: object = {}): Told & Message => {
  const said: string[] = [];
  return odd({
    id,
    body,
    attempts: 1,
    timestamp: new Date(0),
    said,
    ack: () => void said.push("ack"),
    retry: () => void said.push("retry"),
    ...more,
  });
};

describe("attacks T: batches of Cloudflare Queues", () => {
  type Options = QueueBatchOptions<typeof jobs, unknown>;
  const good = email("a@b.example");
  const rows: readonly (readonly [
    input: string,
    came: string,
    messages: () => readonly (Told & Message)[],
    options?: Options,
  ])[] = [
    ["no messages", "a0 s0 i0 r0; ; 0 stored", () => []],
    ["one message twice", "a2 s0 i0 r0; ack, ack; 1 stored", () => [message("a", good), message("a", good)]],
    [
      "one id with two bodies",
      "a2 s0 i0 r0; ack, ack; 1 stored",
      () => [message("a", good), message("a", email("c@d.example"))],
    ],
    ["an empty id", "a0 s0 i1 r0; retry; 0 stored", () => [message("", good)]],
    ["the id ..", "a0 s0 i1 r0; retry; 0 stored", () => [message("..", good)]],
    ["an id of 257", "a0 s0 i1 r0; retry; 0 stored", () => [message("i".repeat(257), good)]],
    ["an id of half a character", "a0 s0 i1 r0; retry; 0 stored", () => [message("\ud800", good)]],
    ["no id", "a0 s0 i1 r0; retry; 0 stored", () => [message(undefined, good)]],
    ["a number for an id", "a0 s0 i1 r0; retry; 0 stored", () => [message(5, good)]],
    [
      "a body whose getter throws",
      "a1 s0 i1 r0; retry, ack; 1 stored",
      () => [
        message("a", {
          get name() {
            throw new Error("no");
          },
        }),
        message("b", good),
      ],
    ],
    [
      "a body whose payload throws",
      "a1 s0 i0 r1; retry, ack; 1 stored",
      () => [
        message("a", {
          name: "email",
          get payload() {
            throw new Error("no");
          },
        }),
        message("b", good),
      ],
    ],
    [
      "a body whose then throws",
      "a1 s0 i1 r0; retry, ack; 1 stored",
      () => [
        message(
          "a",
          // biome-ignore lint/suspicious/noThenProperty: as above
          Object.defineProperty({ ...good }, "then", {
            get: () => {
              throw new Error("no");
            },
          }),
        ),
        message("b", good),
      ],
    ],
    [
      "a body that is a Proxy that throws",
      "a1 s0 i1 r0; retry, ack; 1 stored",
      () => [
        message(
          "a",
          new Proxy(
            {},
            {
              get: () => {
                throw new Error("no");
              },
            },
          ),
        ),
        message("b", good),
      ],
    ],
    [
      "a body that holds itself",
      "a1 s0 i1 r0; retry, ack; 1 stored",
      () => {
        const own: Record<string, unknown> = { ...good };
        own["payload"] = own;
        return [message("a", own), message("b", good)];
      },
    ],
    [
      "a body with the id of another message",
      "a2 s0 i0 r0; ack, ack; 1 stored",
      () => [message("a", { ...good, id: "b" }), message("b", email("c@d.example"))],
    ],
    [
      "a body with a dedupe key of its own",
      "a2 s0 i0 r0; ack, ack; 1 stored",
      () => [message("a", { ...good, dedupe: { key: "k" } }), message("b", { ...good, dedupe: { key: "k" } })],
    ],
    [
      "a body with a flow",
      "a1 s0 i1 r0; retry, ack; 1 stored",
      () => [message("a", { ...good, flow: { parentRef: "x" } }), message("b", good)],
    ],
    ["a body named __proto__", "a0 s0 i1 r0; retry; 0 stored", () => [message("a", { name: "__proto__", payload: 1 })]],
    [
      "an ack that throws",
      "a1 s0 i0 r1; retry, ack; 2 stored",
      () => [
        message("a", good, {
          ack: () => {
            throw new Error("no");
          },
        }),
        message("b", good),
      ],
    ],
    [
      "a retry that throws",
      "raw Error: no; nothing, nothing; 1 stored",
      () => [
        message("a", "x", {
          retry: () => {
            throw new Error("no");
          },
        }),
        message("b", good),
      ],
    ],
    [
      "onInvalid that answers another word",
      "a1 s0 i1 r0; retry, ack; 1 stored",
      () => [message("a", "x"), message("b", good)],
      { onInvalid: () => odd("drop") },
    ],
    [
      "onInvalid that answers nothing",
      "a1 s0 i1 r0; retry, ack; 1 stored",
      () => [message("a", "x"), message("b", good)],
      { onInvalid: () => odd(undefined) },
    ],
    [
      "onInvalid that rejects with undefined",
      "a1 s0 i1 r0; retry, ack; 1 stored",
      () => [message("a", "x"), message("b", good)],
      { onInvalid: () => Promise.reject(undefined), onError: () => {} },
    ],
    [
      "job that answers a thenable",
      "a0 s0 i1 r0; retry; 0 stored",
      () => [message("a", "x")],
      { job: () => odd({ ...good, ...thenable(() => {}) }), onInvalid: () => "retry" },
    ],
    [
      "job that answers a frozen job with an id of the queue",
      "a1 s0 i0 r0; ack; 1 stored",
      () => [message("a", "x")],
      { job: () => odd(Object.freeze({ ...good, id: "own" })) },
    ],
    [
      "job that adds an option that is none",
      "a0 s0 i1 r0; retry; 0 stored",
      () => [message("a", "x")],
      { job: () => odd({ ...good, until: 5 }), onInvalid: () => "retry" },
    ],
    [
      "job that throws undefined",
      "a0 s0 i1 r0; retry; 0 stored",
      () => [message("a", "x")],
      {
        job: () => {
          throw undefined;
        },
        onInvalid: () => "retry",
      },
    ],
    [
      "job that changes the message's body",
      "a2 s0 i0 r0; ack, ack; 2 stored",
      () => [message("a", { ...good }), message("b", good)],
      {
        job: (body) => {
          const own = odd<Record<string, unknown>>(body);
          own["payload"] = { to: "e@f.example" };
          return odd(own);
        },
      },
    ],
    [
      "rememberFor of NaN",
      "a0 s0 i1 r0; retry; 0 stored",
      () => [message("a", good)],
      { rememberFor: Number.NaN, onInvalid: () => "retry" },
    ],
    [
      "rememberFor of −1",
      "a0 s0 i1 r0; retry; 0 stored",
      () => [message("a", good)],
      { rememberFor: -1, onInvalid: () => "retry" },
    ],
    [
      "rememberFor of a text that is none",
      "a0 s0 i1 r0; retry; 0 stored",
      () => [message("a", good)],
      { rememberFor: odd("a day"), onInvalid: () => "retry" },
    ],
    [
      "1,000 messages of which each third is no job",
      "a666 s0 i334 r0; ack; 666 stored",
      () => Array.from({ length: 1_000 }, (_, n) => message(`m${n}`, n % 3 === 0 ? "x" : good)),
      { onInvalid: () => "ack" },
    ],
  ];
  const cases = rows.map(([input, came, messages, options]) => [input, came, messages, options] as const);
  it.each(cases)("%s", async (_, expected, messages, options) => {
    const queue = open();
    const batch = messages();
    const result = await fromQueueBatch(
      odd<MessageBatch>({ queue: "q", messages: batch }),
      queue,
      odd({ onInvalid: () => "retry", onError: () => {}, ...options }),
    ).then(({ added, skipped, invalid, retried }) => `a${added} s${skipped} i${invalid} r${retried}`, refusal);
    const said =
      batch.length > 10
        ? [...new Set(batch.map((one) => one.said.join("+")))]
        : batch.map((one) => one.said.join("+") || "nothing");
    expect(`${result}; ${said.join(", ")}; ${await stored(queue)} stored`).toBe(expected);
  });
});

describe("attacks T: cron triggers", () => {
  const trigger = { cron: "0 * * * *", scheduledTime: 1_700_000_000_000 };
  const good = odd<never>(email("a@b.example"));
  const times = (count: number) => Array.from({ length: count });
  const rows: readonly (readonly [
    input: string,
    came: string,
    fire: (queue: ReturnType<typeof open>) => Promise<unknown>,
  ])[] = [
    [
      "an instant of NaN",
      "refused invalid_option; 0 stored",
      (queue) => fromScheduled({ ...trigger, scheduledTime: Number.NaN }, queue, good),
    ],
    [
      "an instant of Infinity",
      "refused invalid_option; 0 stored",
      (queue) => fromScheduled({ ...trigger, scheduledTime: Number.POSITIVE_INFINITY }, queue, good),
    ],
    [
      "an instant that is a text",
      "done; 1 stored",
      (queue) => fromScheduled({ ...trigger, scheduledTime: odd("2026-01-01") }, queue, good),
    ],
    ["no instant", "refused invalid_option; 0 stored", (queue) => fromScheduled(odd({ cron: "x" }), queue, good)],
    [
      "an instant before 1970",
      "done; 1 stored",
      (queue) => fromScheduled({ ...trigger, scheduledTime: -1 }, queue, good),
    ],
    [
      "no trigger",
      "raw TypeError: Cannot destructure property 'cron' of 'undefined' as it is undefined.; 0 stored",
      (queue) => fromScheduled(odd(undefined), queue, good),
    ],
    ["no rule", "done; 1 stored", (queue) => fromScheduled(odd({ scheduledTime: 0 }), queue, good)],
    [
      "a rule of 300",
      "refused invalid_option; 0 stored",
      (queue) => fromScheduled({ ...trigger, cron: "x".repeat(300) }, queue, good),
    ],
    [
      "a rule of half a character",
      "refused invalid_option; 0 stored",
      (queue) => fromScheduled({ ...trigger, cron: "\ud800" }, queue, good),
    ],
    ["an empty rule", "done; 1 stored", (queue) => fromScheduled({ ...trigger, cron: "" }, queue, good)],
    ["no jobs", "done; 0 stored", (queue) => fromScheduled(trigger, queue, [])],
    [
      "undefined for a job",
      "refused invalid_option; 0 stored",
      (queue) => fromScheduled(trigger, queue, odd(undefined)),
    ],
    ["null in a list", "refused invalid_option; 0 stored", (queue) => fromScheduled(trigger, queue, odd([good, null]))],
    [
      "a hole in a list",
      "refused invalid_option; 0 stored",
      (queue) => fromScheduled(trigger, queue, odd(Object.assign(new Array(3), { 0: good, 2: good }))),
    ],
    ["a list in a list", "refused unknown_job; 0 stored", (queue) => fromScheduled(trigger, queue, odd([[good]]))],
    [
      "a promise of a job",
      "refused unknown_job; 0 stored",
      (queue) => fromScheduled(trigger, queue, odd(Promise.resolve(good))),
    ],
    [
      "a job without a name",
      "refused unknown_job; 0 stored",
      (queue) => fromScheduled(trigger, queue, odd({ payload: 1 })),
    ],
    [
      "a name of 250",
      "refused unknown_job; 0 stored",
      (queue) => fromScheduled(trigger, queue, odd({ name: "n".repeat(250), payload: 1 })),
    ],
    [
      "a payload that holds itself",
      "refused invalid_payload; 0 stored",
      (queue) => {
        const own: Record<string, unknown> = {};
        own["own"] = own;
        return fromScheduled(trigger, queue, odd({ name: "email", payload: own }));
      },
    ],
    ["ten at once", "done; 1 stored", (queue) => Promise.all(times(10).map(() => fromScheduled(trigger, queue, good)))],
    [
      "ten one after the other",
      "done; 1 stored",
      async (queue) => {
        for (const _ of times(10)) await fromScheduled(trigger, queue, good);
      },
    ],
    [
      "two at once with other payloads",
      "refused conflict; 1 stored",
      (queue) =>
        Promise.all([fromScheduled(trigger, queue, good), fromScheduled(trigger, queue, odd(email("c@d.example")))]),
    ],
    [
      "the same with its fields in another order",
      "done; 1 stored",
      async (queue) => {
        await fromScheduled(trigger, queue, odd({ name: "email", payload: { to: "a@b.example", lines: ["x"] } }));
        await fromScheduled(trigger, queue, odd({ name: "email", payload: { lines: ["x"], to: "a@b.example" } }));
      },
    ],
    [
      "the same with what its schema adds",
      "refused conflict; 1 stored",
      async (queue) => {
        await fromScheduled(trigger, queue, good);
        await fromScheduled(trigger, queue, odd({ name: "email", payload: { to: "a@b.example", lines: [] } }));
      },
    ],
    [
      "the same with a field that is undefined",
      "done; 1 stored",
      async (queue) => {
        await fromScheduled(trigger, queue, good);
        await fromScheduled(trigger, queue, odd({ name: "email", payload: { to: "a@b.example", lines: undefined } }));
      },
    ],
    [
      "the same with a priority",
      "done; 1 stored",
      async (queue) => {
        await fromScheduled(trigger, queue, good);
        await fromScheduled(trigger, queue, odd({ ...email("a@b.example"), priority: 5 }));
      },
    ],
    [
      "the jobs in another order",
      "refused conflict; 2 stored",
      async (queue) => {
        const [a, b] = [odd<never>(email("a@b.example")), odd<never>(email("c@d.example"))];
        await fromScheduled(trigger, queue, [a, b]);
        await fromScheduled(trigger, queue, [b, a]);
      },
    ],
    [
      "fewer jobs the second time",
      "refused conflict; 2 stored",
      async (queue) => {
        const [a, b] = [odd<never>(email("a@b.example")), odd<never>(email("c@d.example"))];
        await fromScheduled(trigger, queue, [a, b]);
        await fromScheduled(trigger, queue, [b]);
      },
    ],
    [
      "two ids of one job that join to one text",
      "done; 1 stored",
      (queue) =>
        fromScheduled(
          trigger,
          queue,
          odd([
            { ...email("a@b.example"), id: "x" },
            { ...email("a@b.example"), id: "x" },
          ]),
        ),
    ],
    [
      "the job changed by an operator between",
      "done; 1 stored",
      async (queue) => {
        const [id = ""] = await fromScheduled(trigger, queue, good);
        await queue.update<"email">(id, { payload: { to: "op@b.example", lines: [] } });
        await fromScheduled(trigger, queue, good);
      },
    ],
    [
      "the job removed by an operator between, and another payload",
      "refused conflict; 0 stored",
      async (queue) => {
        const [id = ""] = await fromScheduled(trigger, queue, good);
        await queue.remove(id);
        await fromScheduled(trigger, queue, odd(email("c@d.example")));
      },
    ],
    [
      "the job removed by an operator between",
      "done; 0 stored",
      async (queue) => {
        const [id = ""] = await fromScheduled(trigger, queue, good);
        await queue.remove(id);
        await fromScheduled(trigger, queue, good);
      },
    ],
    [
      "the job cancelled by an operator between",
      "done; 0 stored",
      async (queue) => {
        const [id = ""] = await fromScheduled(trigger, queue, good);
        await queue.cancel(id);
        await fromScheduled(trigger, queue, good);
      },
    ],
    [
      "another rule at the same instant",
      "done; 2 stored",
      async (queue) => {
        await fromScheduled(trigger, queue, good);
        await fromScheduled({ ...trigger, cron: "*/5 * * * *" }, queue, good);
      },
    ],
    [
      "rememberFor of NaN",
      "refused invalid_option; 0 stored",
      (queue) => fromScheduled(trigger, queue, good, { rememberFor: Number.NaN }),
    ],
    [
      "a queue that is none",
      "raw TypeError: queue.addJobs is not a function; 0 stored",
      () => fromScheduled(trigger, odd<ReturnType<typeof open>>({}), good),
    ],
  ];
  it.each(rows)("%s", async (_, expected, fire) => {
    const queue = open();
    const came = await (async () => fire(queue))().then(() => "done", refusal);
    expect(`${came}; ${await stored(queue)} stored`).toBe(expected);
  });
});
