import type {
  Command,
  ExchangeReply,
  ExchangeRequest,
  ListQuery,
  NewJob,
  NumberedRequest,
} from "@quayside/core/engine";
import type { QueueRpc, Reply } from "@quayside/edge";
import fc from "fast-check";
import { forgedCursors } from "./hostile-requests.ts";

/** A call of one verb of an object, as another Worker may make it. */
export interface RpcCall {
  readonly verb: string;
  /** Acts on all jobs of a queue, a bounded part of them at a time: its bound is that of each transaction. */
  readonly bulk: boolean;
  readonly given: readonly unknown[];
}

/** The records that stand beside those that the calls add. */
export interface RpcTarget {
  /** Queues that calls may name. */
  readonly queues: readonly string[];
  readonly ids: readonly string[];
  /** Which shard the object is. */
  readonly shard: number;
}

/** The next number of an exchange of its worker. */
const NEXT = "next";

const odd = <T>(of: fc.Arbitrary<unknown>) => of as fc.Arbitrary<T>;
const some = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined, freq: 2 });
const text = fc.oneof(
  fc.constantFrom("", ".", "..", "/", "%2e", "\u0000", "\ud800", "__proto__", "1-0-0-00000000", "x".repeat(300)),
  fc.string({ unit: "binary", maxLength: 9 }),
);
const keys = fc.oneof({ weight: 6, arbitrary: fc.constantFrom("k1", "k2") }, { weight: 1, arbitrary: text });
const numbers = fc.constantFrom(0, 1, 2, 5, -1, 0.5, 1e308, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY);
/** Most of them what is right. */
const mostly = <T>(right: fc.Arbitrary<T>, wrong: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 6, arbitrary: right }, { weight: 1, arbitrary: wrong });
/** `held.N`: the token of a job that the worker holds, as `withHeld` puts it in. */
const tokens = fc.oneof(
  { weight: 5, arbitrary: fc.nat(4).map((at) => `held.${at}`) },
  { weight: 1, arbitrary: fc.oneof(fc.constantFrom("1.0", "1.1", "9.0"), text) },
);
/** As many queues as one call may name. */
const MANY = Array.from({ length: 1_000 }, (_, n) => `queue ${n}`);
const outcome = fc.oneof(
  fc.record({ token: tokens, outcome: fc.constant("completed"), result: some(fc.constantFrom("1", "{}")) }),
  fc.record({ token: tokens, outcome: fc.constant("released"), delayMs: fc.nat(9) }),
  fc.record({
    token: tokens,
    outcome: fc.constant("failed"),
    error: fc.constant({ code: "handler_failed", message: "x" }),
    retryMs: some(fc.nat(9)),
  }),
  fc.record({ token: tokens, outcome: mostly(fc.constant("cancelled"), fc.constant("exploded")) }),
);

/** Calls of all verbs: most of them right in type, some with one to three values in the place of others. */
export function rpcCalls({ queues: names, ids: known, shard }: RpcTarget): fc.Arbitrary<RpcCall> {
  const queues = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...names) }, { weight: 1, arbitrary: text });
  const ids = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...known) }, { weight: 1, arbitrary: text });
  const job = odd<NewJob>(
    fc.record({
      queue: queues,
      name: mostly(fc.constant("note"), text),
      payload: fc.constantFrom("1", '{"a":[]}', "null"),
      id: some(ids),
      delayMs: some(fc.nat(100_000)),
      priority: some(fc.integer({ min: -100, max: 100 })),
      dedupe: some(
        fc.record({
          key: keys,
          mode: fc.constantFrom("drop", "replace", "debounce", "throttle"),
          ttlMs: some(mostly(fc.constant(60_000), numbers)),
        }),
      ),
      group: some(fc.record({ key: keys, limit: some(fc.integer({ min: 1, max: 3 })) })),
      tags: some(mostly(fc.array(keys, { maxLength: 3 }), fc.array(text, { maxLength: 40 }))),
      keep: some(fc.record({ failed: some(fc.nat(3)) })),
      backoff: some(fc.constant({ kind: "fixed", delayMs: 5, maxMs: 9, jitter: 0 })),
      flow: fc.option(fc.record({ ref: some(fc.constantFrom("a", "b")), parentRef: some(fc.constantFrom("a", "b")) }), {
        nil: undefined,
        freq: 1,
      }),
    }),
  );
  const jobs = fc.array(job, { maxLength: 3 });
  const request = odd<NumberedRequest>(
    fc.record({
      sender: keys,
      number: mostly(fc.nat(9), numbers),
      digest: keys,
      ttlMs: some(mostly(fc.constant(60_000), numbers)),
    }),
  );
  const quota = odd<unknown>(
    fc.record({ subject: keys, max: mostly(fc.constant(5), numbers), perMs: mostly(fc.constant(1_000), numbers) }),
  );
  const filter = {
    name: some(fc.constantFrom("note", "other")),
    tags: some(fc.array(fc.constantFrom("1", "2", "none"), { maxLength: 2 })),
    olderThanMs: some(fc.constantFrom(0, 1, 60_000, 86_400_000)),
  };
  const rule = mostly<unknown>(
    fc.record({
      kind: fc.constant("every"),
      everyMs: fc.constantFrom(100, 60_000),
      limit: some(mostly(fc.constant(2), numbers)),
    }),
    fc.record({ kind: fc.constant("cron"), cron: text }),
  );
  const single = fc.oneof(
    fc.record({ type: fc.constantFrom("cancel", "retry", "promote", "remove"), queue: queues, id: ids }),
    fc.record({
      type: fc.constantFrom("promote", "cancel"),
      queue: fc.constant(names[0]),
      id: fc.constantFrom(...known),
    }),
    fc.record({
      type: fc.constant("update"),
      queue: queues,
      id: ids,
      payload: some(fc.constantFrom("2", "{")),
      priority: some(fc.integer({ min: -100, max: 100 })),
      delayMs: some(numbers),
    }),
    fc.record({ type: fc.constant("schedule"), queue: queues, key: keys, rule, job }),
    fc.record({ type: fc.constant("unschedule"), queue: queues, key: keys }),
    fc.record({ type: fc.constantFrom("pause", "resume"), queue: queues }),
  );
  const bulk = fc.oneof(
    fc.record({
      type: fc.constant("retryAll"),
      queue: queues,
      state: some(fc.constantFrom("failed", "cancelled")),
      ...filter,
    }),
    fc.record({
      type: fc.constant("clear"),
      queue: queues,
      state: some(fc.constantFrom("waiting", "delayed", "active", "completed", "failed", "cancelled")),
      ...filter,
    }),
    fc.record({
      type: fc.constant("configure"),
      queue: queues,
      keep: some(fc.record({ failed: fc.constantFrom(0, 10, 1_000), completed: some(fc.nat(9)) })),
      maxActive: some(fc.constantFrom(null, 1, 10_000)),
      rateLimit: some(fc.constantFrom(null, { max: 5, perMs: 1_000 })),
    }),
  );
  const list = odd<ListQuery>(
    fc.record({
      queue: queues,
      cursor: some(fc.oneof(forgedCursors, text)),
      limit: some(mostly(fc.constantFrom(1, 100, 1_000), numbers)),
      state: some(fc.constantFrom("waiting", "delayed", "active", "completed", "failed", "cancelled")),
      tags: some(fc.array(fc.oneof(fc.constantFrom("1", "none"), text), { maxLength: 3 })),
      positions: some(fc.constant(true)),
      bytes: some(mostly(fc.constantFrom(0, 1_000), numbers)),
    }),
  );
  const exchange = odd<ExchangeRequest>(
    fc.record({
      worker: mostly(fc.constantFrom("worker-1", "worker-2", "worker-3"), text),
      leaseMs: fc.constantFrom(1_000, 60_000),
      liveness: fc.constantFrom("time", "lock", "process"),
      exchange: mostly<unknown>(fc.constant(NEXT), numbers),
      settle: fc.array(outcome, { maxLength: 5 }),
      running: fc.oneof(
        fc.array(tokens, { maxLength: 5 }),
        fc.constant(Array.from({ length: 5_000 }, (_, n) => `9.${n}`)),
      ),
      progress: some(
        fc.array(fc.record({ token: tokens, value: fc.jsonValue({ maxDepth: 2 }), log: fc.array(text) }), {
          maxLength: 2,
        }),
      ),
      claim: fc.record({
        limit: fc.constantFrom(0, 1, 3, 500),
        prefetch: some(fc.constantFrom(0, 2)),
        queues: fc
          .uniqueArray(queues, { maxLength: 3 })
          .chain((few) => mostly(fc.constant<readonly string[]>(few), fc.constant(MANY)))
          .map((found) => found.map((queue) => ({ queue, ...(queue === names[1] && { names: ["other"] }) }))),
      }),
      leave: some(fc.boolean()),
    }),
  );
  const layout = mostly<unknown>(
    fc.constant({ count: 2 }),
    fc.record({ count: fc.constantFrom(1, 4, 1_001), previous: some(fc.constantFrom(1, 2, 3, 0)) }),
  );
  const shards = fc.oneof(
    { weight: 4, arbitrary: fc.constant(shard) },
    { weight: 1, arbitrary: fc.oneof(numbers, fc.constant(1 - shard)) },
  );
  const settings = fc.dictionary(
    fc.constantFrom(...names),
    fc.record({
      paused: some(fc.boolean()),
      maxActive: some(mostly(fc.constant(5), numbers)),
      keep: some(fc.record({ failed: mostly(fc.constant(9), numbers) })),
    }),
  );
  // Routed by no group: to look for those of a queue that is split anew reads its whole line (docs/scale.md).
  const routed = jobs.map((all) => all.map(({ group: _, ...rest }) => rest));
  const added = fc
    .record({
      shard: shards,
      jobs: routed,
      request: some(request),
      layout,
      queues: some(mostly(fc.array(queues, { maxLength: 3 }), fc.constant(MANY))),
      settings: some(settings),
    })
    .chain((ask) =>
      some(fc.array(fc.nat(3), { minLength: ask.jobs.length, maxLength: ask.jobs.length })).map((units) => ({
        ...ask,
        units,
      })),
    );
  const calls: readonly (readonly [
    weight: number,
    verb: string,
    bulk: boolean,
    given: fc.Arbitrary<readonly unknown[]>,
  ])[] = [
    [6, "enqueue", false, fc.tuple(jobs, some(request), some(quota))],
    [3, "get", false, fc.tuple(queues, ids)],
    [6, "list", false, fc.tuple(list)],
    [2, "counts", false, fc.tuple(queues)],
    [7, "command", false, fc.tuple(single as fc.Arbitrary<unknown> as fc.Arbitrary<Command>)],
    [4, "command", true, fc.tuple(bulk as fc.Arbitrary<unknown> as fc.Arbitrary<Command>)],
    [8, "exchange", false, fc.tuple(exchange)],
    [2, "schedules", false, fc.tuple(queues, some(text))],
    [3, "children", false, fc.tuple(queues, ids, fc.oneof(fc.constant(""), text))],
    [2, "nextWake", false, fc.tuple(mostly(fc.array(queues, { maxLength: 3 }), fc.constant(MANY)))],
    [4, "shard", false, fc.tuple(fc.constant("add"), added)],
    [1, "shard", false, fc.tuple(fc.constant("recall"), fc.record({ jobs, request, count: fc.constantFrom(1, 2, 0) }))],
    [
      1,
      "shard",
      false,
      fc.tuple(
        fc.constant("spend"),
        fc.record({ queues: fc.array(queues, { maxLength: 3 }), request: some(request), quota }),
      ),
    ],
    [1, "shard", false, fc.tuple(fc.constantFrom("settings", "nothing", "constructor"), fc.record({ queue: queues }))],
    [1, "events", false, fc.tuple(some(queues))],
  ];
  return fc.oneof(
    ...calls.map(([weight, verb, bulk, given]) => ({
      weight,
      arbitrary: fc
        .tuple(given, fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: misplaced }))
        .map(([right, wrong]): RpcCall => ({ verb, bulk, given: damaged(right, wrong) })),
    })),
  );
}

/** Values that RPC carries, in the place of others: JSON has no word for most of them. */
const VALUES: readonly (() => unknown)[] = [
  ...[undefined, null, true, "", "\ud800", "x".repeat(300), -1, 0, 0.5, -0, 2 ** 53, 1e308, Number.NaN, 5n].map(
    (value) => () => value,
  ),
  () => Number.NEGATIVE_INFINITY,
  () => ({}),
  () => [],
  () => [null],
  () => [[]],
  () => new Array(3),
  () => new Map([["a", 1]]),
  () => new Set(["a"]),
  () => new Date(Number.NaN),
  () => new Error("hostile"),
  () => /x/,
  () => new Uint8Array(3),
  () => () => "hostile",
  () => JSON.parse(`${"[".repeat(150)}${"]".repeat(150)}`),
  () => JSON.parse('{"__proto__":{"a":1},"constructor":{"prototype":1},"toJSON":1}'),
  () => Array.from({ length: 25_000 }, (_, n) => `${n}`),
  () => {
    const self: Record<string, unknown> = {};
    self["self"] = self;
    return self;
  },
];

interface Misplaced {
  readonly place: number;
  readonly value: number;
  readonly act: "replace" | "remove" | "add" | "repeat";
}

const misplaced = fc.array(
  fc.record<Misplaced>({
    place: fc.nat(1_000),
    value: fc.nat(VALUES.length - 1),
    act: fc.constantFrom("replace", "replace", "remove", "add", "repeat"),
  }),
  { minLength: 1, maxLength: 3 },
);

/** A copy of the arguments, in objects that RPC carries, with values in the place of others, members more and less. */
function damaged(given: readonly unknown[], wrong: readonly Misplaced[]): readonly unknown[] {
  const copy = structuredClone(given) as unknown[];
  for (const { place, value, act } of wrong) {
    const places = placesIn(copy);
    if (places.length === 0) break;
    const [parent, key] = places[place % places.length] as Place;
    const made = (VALUES[value] as () => unknown)();
    if (act === "remove" && Array.isArray(parent)) parent.splice(Number(key), 1);
    else if (act === "remove") delete (parent as Record<string, unknown>)[key];
    else if (act === "add") define(parent, Array.isArray(parent) ? `${parent.length}` : "extra", made);
    else if (act === "repeat") define(parent, key, [parent[key], parent[key]]);
    else define(parent, key, made);
  }
  return copy;
}

type Place = readonly [parent: Record<string, unknown> | unknown[], key: never];

const define = (object: object, key: string, value: unknown) =>
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });

/** The places of lists and plain objects, a few levels deep: some of them hold themselves, or thousands of entries. */
function placesIn(value: object, levels = 5): Place[] {
  if (levels === 0 || !(Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype)) return [];
  return Object.keys(value)
    .slice(0, 12)
    .flatMap((key): Place[] => {
      const member = (value as Record<string, unknown>)[key];
      const inner = typeof member === "object" && member !== null ? placesIn(member, levels - 1) : [];
      return [[value as never, key as never], ...inner];
    });
}

/** Workers by their keys: their last exchange, and the tokens of what they hold. */
export type Holders = Map<unknown, { readonly exchange: number; readonly tokens: readonly string[] }>;

/** The call with numbers and tokens that its worker would give. */
export function withHeld(call: RpcCall, holders: Holders): RpcCall {
  const [request] = call.given as readonly [Partial<ExchangeRequest> | null | undefined];
  if (call.verb !== "exchange" || typeof request !== "object" || request === null) return call;
  const { exchange, tokens } = holders.get(request.worker) ?? { exchange: 0, tokens: [] };
  const token = (text: unknown) => tokens[Number(/^held\.(\d)$/.exec(`${text}`)?.[1] ?? -1)] ?? text;
  const named = (entry: unknown) =>
    typeof entry === "object" && entry !== null && "token" in entry && typeof entry.token === "string"
      ? { ...entry, token: token(entry.token) }
      : entry;
  const listed = (list: unknown, make: (entry: unknown) => unknown) => (Array.isArray(list) ? list.map(make) : list);
  const { settle, progress, running } = request;
  const next = {
    ...request,
    ...((request.exchange as unknown) === NEXT && { exchange: exchange + 1 }),
    settle: listed(settle, named),
    ...(progress !== undefined && { progress: listed(progress, named) }),
    running: listed(running, token),
  };
  return { ...call, given: [next, ...call.given.slice(1)] };
}

/** Notes what the worker of an exchange was given. */
export function note({ verb, given }: RpcCall, reply: Reply<unknown>, holders: Holders): void {
  if (verb !== "exchange" || !reply.ok) return;
  const { worker, exchange } = given[0] as ExchangeRequest;
  const { jobs } = reply.value as ExchangeReply;
  holders.set(worker, { exchange, tokens: jobs.map(({ token }) => token) });
}

/** Makes the call. Of a stream the reply is its first piece. */
export async function made(rpc: QueueRpc, { verb, given }: RpcCall): Promise<Reply<unknown>> {
  const answer = await (rpc as unknown as Record<string, (...given: readonly unknown[]) => Promise<unknown>>)[verb]?.(
    ...given,
  );
  if (!(answer instanceof ReadableStream)) return answer as Reply<unknown>;
  const reader = answer.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return { ok: true, value: new TextDecoder().decode(value) };
}
