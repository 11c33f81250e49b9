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
 * The methods of a queue's object over RPC: the verbs of `Driver`, each answering a `Reply`, and `events`. An error that
 * is thrown across RPC arrives as a bare `Error` without its `code`, so none is: it travels as a value. Each verb takes the
 * version of the protocol last, and a reply carries it (see `PROTOCOL`).
 */
export interface QueueRpc {
  /** `quota`: what the caller may add, checked and spent with the add. */
  enqueue(
    jobs: readonly NewJob[],
    request?: NumberedRequest,
    quota?: Quota,
    protocol?: number,
  ): Promise<Reply<readonly EnqueueReceipt[]>>;
  exchange(request: ExchangeRequest, protocol?: number): Promise<Reply<ExchangeReply>>;
  get(queue: string, id: string, protocol?: number): Promise<Reply<JobRecord | undefined>>;
  list(query: ListQuery, protocol?: number): Promise<Reply<JobPage>>;
  counts(queue: string, protocol?: number): Promise<Reply<JobCounts>>;
  command(command: Command, protocol?: number): Promise<Reply<CommandReply>>;
  /** A page: see `Pages.schedulesPage`. */
  schedules(queue: string, after?: string, protocol?: number): Promise<Reply<readonly Schedule[]>>;
  /** A page of how the children of a parent ended: see `Pages.childrenPage`. */
  children(queue: string, id: string, after: string, protocol?: number): Promise<Reply<ChildrenPage>>;
  nextWake(queues: readonly string[], protocol?: number): Promise<Reply<number | undefined>>;
  /** Calls a verb of one shard, for the driver of a split queue. */
  shard<Verb extends keyof ShardVerbs>(
    verb: Verb,
    ask: ShardVerbs[Verb]["ask"],
    protocol?: number,
  ): Promise<Reply<ShardVerbs[Verb]["answer"]>>;
  /** Changes as server-sent events, of one queue or of all that the object holds; ends when the reader cancels. */
  events(queue?: string): Promise<ReadableStream<Uint8Array>>;
}

/** The verbs of a shard besides those of `Driver`. */
export interface ShardVerbs {
  /** Adds jobs that were routed to this shard: see core's `addToShard`. */
  readonly add: { readonly ask: ShardAdd & { readonly shard: number }; readonly answer: ShardAdded };
  /** Returns the jobs that a numbered request stored here when it was routed over `count` shards. */
  readonly recall: {
    readonly ask: { readonly jobs: readonly NewJob[]; readonly request: NumberedRequest; readonly count: number };
    readonly answer: readonly EnqueueReceipt[] | undefined;
  };
  /** Spends what a caller may add, for jobs of these queues that are added to the shards afterwards: see core's `spendQuota`. */
  readonly spend: {
    readonly ask: {
      readonly queues: readonly string[];
      readonly request?: NumberedRequest;
      readonly quota: Quota;
    };
    readonly answer: Record<never, never>;
  };
  /** The queue's settings here. */
  readonly settings: { readonly ask: { readonly queue: string }; readonly answer: ShardStanding };
}

/** A result or a `QuaysideError` as plain data. */
export type Reply<T> = { readonly protocol?: number } & (
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: SentError }
);

/** An error as it crosses RPC. */
export interface SentError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Runs `work` in the object. Errors that are not Quayside's own are thrown as they are: they are bugs, to be logged. */
export async function reply<T>(work: () => Promise<T>): Promise<Reply<T>> {
  try {
    return { ok: true, value: await work(), protocol: PROTOCOL };
  } catch (error) {
    if (!(error instanceof QuaysideError)) throw error;
    const { code, message, details } = error;
    return { ok: false, error: { code, message, details: plain(details) }, protocol: PROTOCOL };
  }
}

/** The value of a reply on the caller's side, or its error thrown again. */
export function unwrap<T>(answer: Reply<T>): T {
  checkProtocol("answer", answer.protocol);
  if (answer.ok) return answer.value;
  throw new QuaysideError(answer.error.code, answer.error.message, answer.error.details);
}

/** Returns the details that JSON can carry: one that cannot be sent must not turn an error into another. */
function plain(details: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(JSON.stringify(details)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** One call of a verb, as the one method of a class that embeds a queue takes it: see `embeddedQueues`. */
export type QueueCall = {
  [Verb in keyof QueueRpc]: readonly [verb: Verb, ...given: Parameters<QueueRpc[Verb]>];
}[keyof QueueRpc];

/** Named one by one: what comes over RPC is any text, and must reach nothing else. */
const VERBS: { readonly [Verb in keyof QueueRpc]: true } = {
  enqueue: true,
  exchange: true,
  get: true,
  list: true,
  counts: true,
  command: true,
  schedules: true,
  children: true,
  nextWake: true,
  shard: true,
  events: true,
};

/** Makes the call. @throws {QuaysideError} `bad_request` when there is no such verb. */
export function callVerb(rpc: QueueRpc, [verb, ...given]: QueueCall): Promise<unknown> {
  if (!Object.hasOwn(VERBS, verb)) throw new QuaysideError("bad_request", `A queue has no verb ${String(verb)}.`);
  return (rpc[verb] as (...given: readonly unknown[]) => Promise<unknown>).apply(rpc, given);
}

/** The verbs, each made a call. */
export function verbsOver(call: (...call: QueueCall) => Promise<unknown>): QueueRpc {
  const verbs = Object.keys(VERBS).map((verb) => [
    verb,
    (...given: readonly unknown[]) => call(...([verb, ...given] as unknown as QueueCall)),
  ]);
  return Object.fromEntries(verbs) as QueueRpc;
}

/** A namespace of queue objects, as a binding gives it. */
export interface QueueNamespace {
  idFromName(name: string): DurableObjectId;
  get(id: DurableObjectId): unknown;
}

/** @throws {QuaysideError} `invalid_option` for what is no namespace: mostly a binding that the Worker does not have. */
export function checkNamespace(namespace: QueueNamespace): QueueNamespace {
  if (typeof (namespace as Partial<QueueNamespace> | null | undefined)?.idFromName === "function") return namespace;
  throw new QuaysideError(
    "invalid_option",
    `The queue's Durable Object namespace is ${namespace === undefined ? "missing" : "something else"}: is its binding in durable_objects.bindings of the wrangler configuration, under this name?`,
    { option: "namespace" },
  );
}

/**
 * The object that holds a queue: by default each queue has its own, named like it. Of a queue that is split, the object
 * of one shard. Its `events` come on a socket that lets the object sleep, where its class offers one.
 */
export function queueStub(namespace: QueueNamespace, queue: string, shard = 0): QueueRpc {
  const name = shardName(queue, shard);
  // The stub's own type maps each method through RPC's rules, which lose `unknown` payloads; this is what it carries.
  const stub = checkNamespace(namespace).get(namespace.idFromName(name)) as QueueRpc & Partial<Fetcher>;
  return {
    enqueue: (jobs, request, quota) => stub.enqueue(jobs, request, quota, PROTOCOL),
    exchange: (request) => stub.exchange(request, PROTOCOL),
    get: (queue, id) => stub.get(queue, id, PROTOCOL),
    list: (query) => stub.list(query, PROTOCOL),
    counts: (queue) => stub.counts(queue, PROTOCOL),
    command: (command) => stub.command(command, PROTOCOL),
    schedules: (queue, after) => stub.schedules(queue, after, PROTOCOL),
    children: (queue, id, after) => stub.children(queue, id, after, PROTOCOL),
    nextWake: (queues) => stub.nextWake(queues, PROTOCOL),
    shard: (verb, ask) => stub.shard(verb, ask, PROTOCOL),
    events: async (queue) => {
      // Here, and not in the object: an error that crosses RPC loses its code.
      if (queue !== undefined) checkName(queue, "queue");
      return (stub.fetch && (await socketStream(stub as Fetcher, queue))) ?? (await stub.events(queue));
    },
  };
}
