import {
  type ErrorCode,
  type JobCounts,
  type JobPage,
  type JobRecord,
  QuaysideError,
  type Schedule,
} from "@quayside/core";
import {
  type ChildrenPage,
  type Command,
  type CommandReply,
  checkName,
  checkProtocol,
  type EnqueueReceipt,
  type ExchangeReply,
  type ExchangeRequest,
  type FoundJobs,
  type ListQuery,
  type NewJob,
  type NumberedRequest,
  PROTOCOL,
} from "@quayside/core/engine";
import type { Quota } from "../object/caller-quota.ts";
import { type Fetcher, socketStream } from "../object/change-socket.ts";
import { shardName } from "../shards/names.ts";
import type { ShardAdd, ShardAdded, ShardStanding } from "../shards/shard-in-store.ts";

/**
 * The RPC methods of a queue's object: the verbs of `Driver`, each returning a `Reply`, and `events`. Errors travel as
 * values, because an error thrown across RPC loses its `code`. The last parameter of each verb is the protocol version,
 * which the reply carries as well (see `PROTOCOL`).
 */
export interface QueueRpc {
  /** Adds jobs. `quota` is the caller's quota, which the object checks and spends in the same transaction. */
  enqueue(
    jobs: readonly NewJob[],
    request?: NumberedRequest,
    quota?: Quota,
    protocol?: number,
  ): Promise<Reply<readonly EnqueueReceipt[]>>;
  exchange(request: ExchangeRequest, protocol?: number): Promise<Reply<ExchangeReply>>;
  get(queue: string, id: string, protocol?: number): Promise<Reply<JobRecord | undefined>>;
  /** Returns the jobs with these ids: see `Pages.jobsPage`. */
  find(queue: string, ids: readonly string[], bytes?: number, protocol?: number): Promise<Reply<FoundJobs>>;
  list(query: ListQuery, protocol?: number): Promise<Reply<JobPage>>;
  counts(queue: string, protocol?: number): Promise<Reply<JobCounts>>;
  command(command: Command, protocol?: number): Promise<Reply<CommandReply>>;
  /** Returns a page of recurrences: see `Pages.schedulesPage`. */
  schedules(queue: string, after?: string, protocol?: number): Promise<Reply<readonly Schedule[]>>;
  /** Returns a page of outcomes of a parent's children: see `Pages.childrenPage`. */
  children(queue: string, id: string, after: string, protocol?: number): Promise<Reply<ChildrenPage>>;
  nextWake(queues: readonly string[], protocol?: number): Promise<Reply<number | undefined>>;
  /** Calls a verb of one shard, for the driver of a split queue. */
  shard<Verb extends keyof ShardVerbs>(
    verb: Verb,
    ask: ShardVerbs[Verb]["ask"],
    protocol?: number,
  ): Promise<Reply<ShardVerbs[Verb]["answer"]>>;
  /**
   * Opens a stream of changes as server-sent events, of one queue or of all queues of the object. Ends when the reader
   * cancels it.
   */
  events(queue?: string): Promise<ReadableStream<Uint8Array>>;
}

/** The verbs that a shard has in addition to those of `Driver`: their arguments (`ask`) and results (`answer`). */
export interface ShardVerbs {
  /** Adds jobs that were routed to this shard: see `addToShard`. */
  readonly add: { readonly ask: ShardAdd & { readonly shard: number }; readonly answer: ShardAdded };
  /** Returns the receipts of jobs that a numbered request stored in this shard when the queue had `count` shards. */
  readonly recall: {
    readonly ask: { readonly jobs: readonly NewJob[]; readonly request: NumberedRequest; readonly count: number };
    readonly answer: readonly EnqueueReceipt[] | undefined;
  };
  /** Spends a caller's quota for jobs that will then be added to the shards: see `spendQuota`. */
  readonly spend: {
    readonly ask: {
      readonly queues: readonly string[];
      readonly request?: NumberedRequest | undefined;
      readonly quota: Quota;
    };
    readonly answer: Record<never, never>;
  };
  /** Returns the queue's settings in this shard. */
  readonly settings: { readonly ask: { readonly queue: string }; readonly answer: ShardStanding };
}

/** The reply of an RPC method: a result, or a `QuaysideError` as plain data. */
export type Reply<T> = { readonly protocol?: number | undefined } & (
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: SentError }
);

/** A `QuaysideError` as plain data. */
export interface SentError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/**
 * Runs `work` in the object and returns a `Reply`. Errors that are not Quayside's are bugs and are rethrown, so that
 * they are logged.
 */
export async function reply<T>(work: () => Promise<T>): Promise<Reply<T>> {
  try {
    return { ok: true, value: await work(), protocol: PROTOCOL };
  } catch (error) {
    if (!(error instanceof QuaysideError)) throw error;
    const { code, message, details } = error;
    return { ok: false, error: { code, message, details: plain(details) }, protocol: PROTOCOL };
  }
}

/** Returns the value of a reply. If the reply has an error, throws the error. */
export function unwrap<T>(answer: Reply<T>): T {
  checkProtocol("answer", answer.protocol);
  if (answer.ok) return answer.value;
  throw new QuaysideError(answer.error.code, answer.error.message, answer.error.details);
}

/** Returns the details that are JSON, so that a value RPC cannot send does not replace the error. */
function plain(details: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(JSON.stringify(details)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** A call of a verb as a tuple, for classes that embed queues and have one RPC method: see `embeddedQueues`. */
export type QueueCall = {
  [Verb in keyof QueueRpc]: readonly [verb: Verb, ...given: Parameters<QueueRpc[Verb]>];
}[keyof QueueRpc];

/**
 * The verbs that callers may use, with the number of arguments before the protocol version. RPC callers can send any
 * text as a verb, which must not reach other methods.
 */
export const VERBS: { readonly [Verb in keyof QueueRpc]: number } = {
  enqueue: 3,
  exchange: 1,
  get: 2,
  find: 3,
  list: 1,
  counts: 1,
  command: 1,
  schedules: 2,
  children: 3,
  nextWake: 1,
  shard: 2,
  events: 1,
};

/** Calls the method of a verb. @throws {QuaysideError} `bad_request` if there is no such verb. */
export function callVerb(rpc: QueueRpc, [verb, ...given]: QueueCall): Promise<unknown> {
  if (!Object.hasOwn(VERBS, verb)) throw new QuaysideError("bad_request", `A queue has no verb ${String(verb)}.`);
  // Called as a method: `apply` of a stub's method would be a property in the object.
  const callable = rpc as unknown as Record<typeof verb, (...given: readonly unknown[]) => Promise<unknown>>;
  return callable[verb](...given);
}

/** Creates a `QueueRpc` whose verbs all call one function, with the protocol version as the last argument. */
export function forward(call: (...call: QueueCall) => Promise<unknown>): QueueRpc {
  const verbs = Object.entries(VERBS).map(([verb, count]) => [
    verb,
    (...given: readonly unknown[]) => {
      const all = Array.from({ length: count }, (_, index) => given[index]);
      return call(...([verb, ...all, ...(verb === "events" ? [] : [PROTOCOL])] as unknown as QueueCall));
    },
  ]);
  return Object.fromEntries(verbs) as QueueRpc;
}

/** A Durable Object namespace of queue objects, as a binding provides it. */
export interface QueueNamespace {
  idFromName(name: string): DurableObjectId;
  get(id: DurableObjectId): unknown;
}

/**
 * Checks that a value is a namespace of Durable Objects, and returns it.
 *
 * @throws {QuaysideError} `invalid_option` if it is not: usually the Worker lacks the binding.
 */
export function checkNamespace(namespace: QueueNamespace): QueueNamespace {
  if (typeof (namespace as Partial<QueueNamespace> | null | undefined)?.idFromName === "function") return namespace;
  throw new QuaysideError(
    "invalid_option",
    `The queue's Durable Object namespace is ${namespace === undefined ? "missing" : "something else"}: is its binding in durable_objects.bindings of the wrangler configuration, under this name?`,
    { option: "namespace" },
  );
}

/**
 * Returns the stub of the object that holds a queue, or one shard of a split queue. By default, each queue has an
 * object of the same name. `events` uses a WebSocket, which lets the object hibernate, if the object's class supports
 * it.
 */
export function queueStub(namespace: QueueNamespace, queue: string, shard = 0): QueueRpc {
  const name = shardName(queue, shard);
  // The stub's own type loses `unknown` payloads; this type has the values that RPC really carries.
  const stub = checkNamespace(namespace).get(namespace.idFromName(name)) as QueueRpc & Partial<Fetcher>;
  return {
    ...forward((...call) => callVerb(stub, call)),
    events: async (queue) => {
      // Checked here, because an error that crosses RPC loses its code.
      if (queue !== undefined) checkName(queue, "queue");
      return (stub.fetch && (await socketStream(stub as Fetcher, queue))) ?? (await stub.events(queue));
    },
  };
}
