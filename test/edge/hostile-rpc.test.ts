import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { Command, ExchangeRequest, ListQuery, NewJob, NumberedRequest } from "@quayside/core/engine";
import { type QueueRpc, queueStub } from "@quayside/edge";
import fc from "fast-check";
import { afterEach, expect, inject, it } from "vitest";
import { forgedCursors } from "./fuzz/hostile-requests.ts";

const { nightly, runs, seed = 20_261_129 } = inject("hostile");
const CALLS = runs ?? (nightly ? 10_000 : 1_000);
/** Within this a call is answered, and the object a question after it. */
const BOUND_MS = 5_000;
const READS_MOST = 10_000;
const DEEP = 11_000;

afterEach(reset);

/** Rejects when the promise takes longer than the bound. */
async function bounded<T>(promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`It took over ${BOUND_MS} ms.`)), BOUND_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const text = fc.oneof(
  fc.constantFrom("", ".", "..", "/", "%2e", "\u0000", "\ud800", "__proto__", "1-0-0-00000000", "x".repeat(300)),
  fc.string({ unit: "binary", maxLength: 9 }),
);
const ids = fc.oneof(fc.constantFrom("known-0", "known-1", "known-2"), text);
const queues = fc.oneof({ weight: 4, arbitrary: fc.constantFrom("mail", "deep") }, { weight: 1, arbitrary: text });
const numbers = fc.constantFrom(0, 1, 2, 5, -1, 0.5, 1e308, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY);
const tokens = fc.oneof(
  fc.tuple(fc.integer({ min: 1, max: 5 }), fc.nat(2)).map(([exchange, at]) => `${exchange}.${at}`),
  text,
);
const some = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined, freq: 2 });
const job = fc.record({
  queue: queues,
  name: text,
  payload: fc.constantFrom("1", '{"a":[]}', "null"),
  id: some(ids),
  dedupe: some(fc.record({ key: text, mode: fc.constantFrom("drop", "replace", "debounce") })),
  group: some(fc.record({ key: text, limit: some(fc.integer({ min: 1, max: 3 })) })),
  tags: some(fc.array(text, { maxLength: 40 })),
}) as fc.Arbitrary<unknown> as fc.Arbitrary<NewJob>;
const numbered = fc.record({ sender: text, number: numbers, digest: text }) as fc.Arbitrary<NumberedRequest>;
const list = fc.record({
  queue: queues,
  cursor: some(fc.oneof(forgedCursors, text)),
  limit: some(numbers),
  state: some(fc.constantFrom("waiting", "delayed", "active", "completed", "failed", "cancelled")),
  tags: some(fc.array(text, { maxLength: 3 })),
}) as fc.Arbitrary<unknown> as fc.Arbitrary<ListQuery>;
const command = fc.oneof(
  fc.record({ type: fc.constantFrom("cancel", "retry", "promote", "remove"), queue: queues, id: ids }),
  fc.record({
    type: fc.constant("update"),
    queue: queues,
    id: ids,
    priority: some(fc.integer({ min: -100, max: 100 })),
  }),
  fc.record({ type: fc.constantFrom("pause", "resume"), queue: text }),
  fc.record({ type: fc.constant("unschedule"), queue: queues, key: text }),
  fc.record({
    type: fc.constant("schedule"),
    queue: queues,
    key: text,
    rule: fc.constant({ kind: "every", everyMs: 60_000 }),
    job,
  }),
) as fc.Arbitrary<unknown> as fc.Arbitrary<Command>;
const exchange = fc.record({
  worker: fc.oneof(fc.constantFrom("worker-1", "worker-2"), text),
  leaseMs: fc.constantFrom(1_000, 60_000),
  liveness: fc.constantFrom("time", "lock", "process"),
  exchange: fc.oneof(fc.integer({ min: 1, max: 9 }), numbers),
  settle: fc.array(
    fc.oneof(
      fc.record({ token: tokens, outcome: fc.constant("completed") }),
      fc.record({ token: tokens, outcome: fc.constant("released"), delayMs: fc.nat(9) }),
    ),
    { maxLength: 5 },
  ),
  running: fc.oneof(fc.array(tokens, { maxLength: 5 }), fc.constant(Array.from({ length: 5_000 }, (_, n) => `9.${n}`))),
  claim: fc.record({
    limit: fc.constantFrom(0, 1, 3),
    queues: fc.array(queues, { maxLength: 3 }).map((names) => names.map((queue) => ({ queue }))),
  }),
}) as fc.Arbitrary<unknown> as fc.Arbitrary<ExchangeRequest>;

interface RpcCall {
  readonly verb: string;
  readonly given: unknown;
  readonly make: (rpc: QueueRpc) => Promise<{ readonly ok: boolean; readonly error?: { readonly code: string } }>;
}
const verb = <T>(
  name: string,
  given: fc.Arbitrary<T>,
  make: (rpc: QueueRpc, given: T) => ReturnType<RpcCall["make"]>,
) => given.map((args): RpcCall => ({ verb: name, given: args, make: (rpc) => make(rpc, structuredClone(args)) }));
const calls = fc.oneof(
  verb("enqueue", fc.tuple(fc.array(job, { maxLength: 3 }), some(numbered)), (rpc, [jobs, request]) =>
    rpc.enqueue(jobs, request),
  ),
  verb("get", fc.tuple(queues, ids), (rpc, [queue, id]) => rpc.get(queue, id)),
  verb("list", list, (rpc, query) => rpc.list(query)),
  verb("command", command, (rpc, given) => rpc.command(given)),
  verb("exchange", exchange, (rpc, request) => rpc.exchange(request)),
  verb("schedules", queues, (rpc, queue) => rpc.schedules(queue)),
  verb("nextWake", fc.array(queues, { maxLength: 3 }), (rpc, names) => rpc.nextWake(names)),
);

it(`${CALLS} calls by RPC, right in type and wrong in value: each answers or is refused with a code, reads at most ${READS_MOST} records, and the next is answered`, {
  timeout: 600_000,
}, async () => {
  console.info(`hostile calls by RPC: ${CALLS}, HOSTILE_SEED=${seed}`);
  const object = env.BARE_QUEUE.getByName("hostile");
  const rpc = queueStub(env.BARE_QUEUE, "hostile");
  for (let n = 0; n < DEEP; n += 1_000)
    await rpc.enqueue(Array.from({ length: 1_000 }, () => ({ queue: "deep", name: "note", payload: "1" })));
  await rpc.enqueue([0, 1, 2].map((n) => ({ queue: "mail", name: "note", payload: "1", id: `known-${n}` })));
  const seen = new Map<string, number>();
  const property = fc.asyncProperty(calls, async ({ verb, make }) => {
    const { rowsRead } = await object.usage();
    const reply = await bounded(make(rpc));
    const kind = `${verb} ${reply.ok ? "done" : reply.error?.code}`;
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
    if (!reply.ok) expect(reply.error?.code).not.toBe("internal");
    expect((await bounded(object.usage())).rowsRead - rowsRead).toBeLessThanOrEqual(READS_MOST);
  });
  await fc.assert(property, { numRuns: CALLS, seed, endOnFailure: true });
  for (const name of ["enqueue", "get", "list", "command", "exchange", "schedules", "nextWake"])
    expect([...seen.keys()]).toContain(`${name} done`);
  expect(await bounded(rpc.get("mail", "nothing"))).toEqual({ ok: true, value: undefined });
});
