import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { QuaysideError } from "@quayside/core";
import type { ExchangeReply, ExchangeRequest } from "@quayside/core/engine";
import { type QueueRpc, queueStub, type Reply } from "@quayside/edge";
import fc from "fast-check";
import { afterEach, expect, inject, it } from "vitest";
import { type Holders, made, note, type RpcCall, rpcCalls, withHeld } from "./fuzz/rpc-calls.ts";

const { nightly, runs, seed = 20_261_129 } = inject("hostile");
const CALLS = runs ?? (nightly ? 10_000 : 1_000);
/** Within this a call is answered, and the object a question after it. */
const BOUND_MS = 5_000;
/** Rows that one call may read (R32), unless it acts on all jobs of a queue. */
const READS_MOST = 10_000;
/** Rows that each transaction may read of a call that acts on all jobs of a queue, a bounded part of them at a time. */
const STEP_MOST = 2_500;
/** Jobs in line in the queue `deep`: a call that reads all of them has no bound. */
const DEEP = 12_000;
/** Jobs of it that have failed. */
const FAILED = 1_000;
/** Calls between two looks at what is not the attackers'. */
const STRETCH = 20;
/** In everything that the attackers must not see. */
const SECRET = "the other's secret 7f3a91";

afterEach(reset);

/** Rejects when the promise takes longer than the bound. */
async function bounded<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took over ${BOUND_MS} ms.`)), BOUND_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function granted<T>(reply: Promise<Reply<T>>): Promise<T> {
  const answer = await reply;
  if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`);
  return answer.value;
}

const job = (queue: string, id?: string) => ({ queue, name: "note", payload: "1", ...(id !== undefined && { id }) });

/** A worker by RPC, which numbers its exchanges and holds what it is given. */
class Remote {
  readonly key: string;
  readonly #rpc: QueueRpc;
  #exchange = 0;
  #held: readonly string[] = [];

  constructor(rpc: QueueRpc, key: string) {
    this.#rpc = rpc;
    this.key = key;
  }

  async exchange(queue: string, limit: number, more: Partial<ExchangeRequest> = {}): Promise<ExchangeReply> {
    const settled = new Set(more.settle?.map(({ token }) => token));
    const running = this.#held.filter((token) => !settled.has(token));
    const reply = await granted(
      this.#rpc.exchange({
        worker: this.key,
        liveness: "time",
        leaseMs: 600_000_000,
        exchange: ++this.#exchange,
        settle: [],
        running,
        claim: { limit, queues: [{ queue }] },
        ...more,
      }),
    );
    this.#held = [...running, ...reply.jobs.map(({ token }) => token)];
    return reply;
  }
}

/** A queue beside the attackers' in the same object, which no call names. */
class Theirs {
  readonly worker = "0ther0secret0worker";
  readonly ids = ["waiting", "delayed", "failed", "completed", "running", "parent"].map((state) => `their-${state}`);
  readonly #rpc: QueueRpc;
  readonly #remote: Remote;
  #before: unknown;
  #running = "";

  constructor(rpc: QueueRpc) {
    this.#rpc = rpc;
    this.#remote = new Remote(rpc, this.worker);
  }

  async furnish(): Promise<void> {
    const payload = JSON.stringify(SECRET);
    const add = (id: string, more = {}) =>
      granted(this.#rpc.enqueue([{ ...job("other", id), payload, tags: [SECRET], maxAttempts: 1, ...more }]));
    await granted(this.#rpc.command({ type: "configure", queue: "other", keep: { completed: 100, failed: 100 } }));
    for (const id of ["their-failed", "their-completed", "their-running"]) await add(id);
    const { jobs } = await this.#remote.exchange("other", 3);
    const [failed, completed, running] = jobs.map(({ token }) => token) as [string, string, string];
    this.#running = running;
    await this.#remote.exchange("other", 0, {
      settle: [
        { token: failed, outcome: "failed", error: { code: "handler_failed", message: SECRET } },
        { token: completed, outcome: "completed", result: payload },
      ],
    });
    await add("their-waiting", { dedupe: { key: "their key", mode: "drop" }, group: { key: "their group" } });
    await add("their-delayed", { delayMs: 1e12 });
    await granted(
      this.#rpc.enqueue([
        { ...job("other", "their-parent"), payload, flow: { ref: "p" } },
        { ...job("other", "their-child"), payload, delayMs: 1e12, flow: { parentRef: "p" } },
      ]),
    );
    const rule = { kind: "every", everyMs: 1e12 } as const;
    await granted(
      this.#rpc.command({
        type: "schedule",
        queue: "other",
        key: "their-daily",
        rule,
        job: { ...job("other"), payload },
      }),
    );
    await this.#report();
    this.#before = await this.#all();
  }

  async #report(): Promise<readonly string[]> {
    const progress = [{ token: this.#running, value: SECRET }];
    return (await this.#remote.exchange("other", 0, { progress })).lost;
  }

  #all(): Promise<unknown> {
    return Promise.all([
      ...this.ids.map((id) => granted(this.#rpc.get("other", id))),
      granted(this.#rpc.schedules("other")),
      granted(this.#rpc.counts("other")),
    ]);
  }

  /** Nothing of it was changed, and its worker still holds its job. */
  async look(): Promise<void> {
    expect(await this.#all()).toEqual(this.#before);
    expect(await this.#report()).toEqual([]);
  }
}

/** The object that calls are made to, and what calls may find there. */
class Place {
  readonly shard: number;
  readonly rpc: QueueRpc;
  readonly theirs: Theirs;
  readonly holders: Holders = new Map();
  readonly queues = ["mail", "deep"];
  readonly ids = [...["known-0", "known-1", "later-0", "later-1", "root"], ...["their-waiting", "their-parent"]];
  readonly #object: DurableObjectStub<import("./queues.ts").BareQueue>;
  readonly #changes: { readonly queue: string; text: string }[] = [];
  #keepers = 0;

  constructor(shard: number) {
    this.shard = shard;
    this.rpc = queueStub(env.BARE_QUEUE, "hostile", shard);
    this.#object = env.BARE_QUEUE.getByName(shard === 0 ? "hostile" : `hostile#${shard}`);
    this.theirs = new Theirs(this.rpc);
  }

  spent() {
    return this.#object.spent();
  }

  async furnish(): Promise<void> {
    await this.restore();
    // The first question for counts reads the whole queue, once in the object's life.
    for (const queue of this.queues) await granted(this.rpc.counts(queue));
    await this.theirs.furnish();
    for (const queue of ["mail", ""]) void this.#follow(queue);
  }

  /** Reads a stream of changes as long as the object lives. */
  async #follow(queue: string): Promise<void> {
    const changes = { queue, text: "" };
    this.#changes.push(changes);
    const stream = await this.rpc.events(queue || undefined);
    const decoder = new TextDecoder();
    try {
      for await (const piece of stream) changes.text += decoder.decode(piece, { stream: true });
    } catch {
      // The object has gone: the test is over.
    }
  }

  /** Makes what calls may find, as far as it is not there. */
  async restore(deep = true): Promise<void> {
    const { rpc } = this;
    // Refused where a call has said that the queue is split otherwise: then ids find what they left.
    await rpc.enqueue(["known-0", "known-1"].map((id) => job("mail", id)));
    await rpc.enqueue(["later-0", "later-1"].map((id) => ({ ...job("mail", id), delayMs: 86_400_000 })));
    await rpc.enqueue([
      { ...job("mail", "root"), flow: { ref: "r" } },
      ...Array.from({ length: 30 }, () => ({ ...job("mail"), flow: { parentRef: "r" } })),
    ]);
    if (!deep) return;
    const { waiting, delayed, failed } = await granted(rpc.counts("deep"));
    if (failed < FAILED / 2) await this.#fail();
    if (waiting + delayed > READS_MOST) return;
    for (let left = DEEP - waiting - delayed; left > 0; left -= 1_000)
      await granted(
        rpc.enqueue(Array.from({ length: Math.min(left, 1_000) }, (_, n) => ({ ...job("deep"), tags: [`${n % 7}`] }))),
      );
  }

  /** Has jobs of `deep` fail, whatever limits calls have set. */
  async #fail(): Promise<void> {
    const { rpc } = this;
    const lifted = { maxActive: null, rateLimit: null, keep: { failed: 10 * FAILED } };
    await granted(rpc.command({ type: "configure", queue: "deep", ...lifted }));
    await granted(rpc.command({ type: "resume", queue: "deep" }));
    await granted(rpc.enqueue(Array.from({ length: FAILED }, () => ({ ...job("deep"), priority: 100 }))));
    const keeper = new Remote(rpc, `keeper-${++this.#keepers}`);
    const { jobs } = await keeper.exchange("deep", FAILED);
    const error = { code: "unrecoverable", message: "to be retried" } as const;
    await keeper.exchange("deep", 0, {
      settle: jobs.map(({ token }) => ({ token, outcome: "failed" as const, error })),
      leave: true,
    });
  }

  /** The other queue is as it was, and the streams have told nothing of it. */
  async look(): Promise<void> {
    await this.theirs.look();
    for (const { queue, text } of this.#changes) {
      expect(text).not.toContain(SECRET);
      expect(text).not.toContain(this.theirs.worker);
      if (queue) for (const [, named] of text.matchAll(/"queue":"([^"]*)"/g)) expect(named).toBe(queue);
    }
  }

  get told(): number {
    return this.#changes.reduce((sum, { text }) => sum + text.length, 0);
  }

  /** Leases of workers that are gone run out, delayed jobs fall due. */
  advance(ms: number): Promise<void> {
    return this.#object.advance(ms);
  }
}

it(`${CALLS} calls by RPC, right ones and ones with wrong values: each answers or is refused with a code, reads within bounds, touches nothing of the other's, and the next is answered`, {
  timeout: 900_000,
}, async () => {
  console.info(`hostile calls by RPC: ${CALLS}, HOSTILE_SEED=${seed}`);
  const places = [new Place(0), new Place(1)];
  for (const place of places) {
    await place.furnish();
    await place.spent();
  }
  const seen = new Map<string, number>();
  const most = { call: { rows: 0, of: "" }, step: { rows: 0, of: "" } };
  const recent: string[] = [];
  let made = 0;
  let stale = false;

  const attempt = async (place: Place, other: Place, given: RpcCall) => {
    const call = withHeld(given, place.holders);
    recent.push(`shard ${place.shard} ${spell(call)}`);
    if (recent.length > STRETCH) recent.shift();
    await Promise.all([place.spent(), other.spent()]);
    const reply = await bounded("The call", answered(place.rpc, call));
    const { read, step } = await bounded("The question after it", place.spent());
    note(call, reply, place.holders);
    const kind = `${nameOf(call)} ${reply.ok ? "done" : reply.error.code}`;
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
    if (!reply.ok) expect(["internal", "storage_unavailable", "network"]).not.toContain(reply.error.code);
    const text = printed(reply);
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain(place.theirs.worker);
    if (!call.bulk && read > most.call.rows) most.call = { rows: read, of: kind };
    if (call.bulk && step > most.step.rows) most.step = { rows: step, of: kind };
    if (call.bulk) expect(step).toBeLessThanOrEqual(STEP_MOST);
    else expect(read).toBeLessThanOrEqual(READS_MOST);
    expect(await bounded("A health call after it", place.rpc.get("other", "their-waiting"))).toMatchObject({
      ok: true,
    });
    expect((await other.spent()).read).toBe(0);
    stale ||= call.bulk && reply.ok;
    if (++made % STRETCH > 0) return;
    for (const one of places) {
      await bounded("The other's calls after it", one.look());
      await one.advance(90_000);
      await one.restore(stale);
      await one.spent();
    }
    stale = false;
  };

  const [first, second] = places as [Place, Place];
  const calls = fc.oneof(...places.map((place) => rpcCalls(place).map((call) => ({ call, shard: place.shard }))));
  const property = fc.asyncProperty(calls, ({ call, shard }) =>
    shard === 0 ? attempt(first, second, call) : attempt(second, first, call),
  );
  try {
    await fc.assert(property, { numRuns: CALLS, seed, endOnFailure: true });
    for (const place of places) await place.look();
  } catch (error) {
    console.info(`The last calls:\n${recent.join("\n")}`);
    throw error;
  }
  console.info(
    `most rows of one call: ${most.call.rows} (${most.call.of}), of one transaction of a bulk verb: ${most.step.rows} (${most.step.of})`,
  );
  console.info(
    [...seen]
      .sort()
      .map(([kind, count]) => `${kind}: ${count}`)
      .join(", "),
  );
  for (const place of places) expect(place.told).toBeGreaterThan(0);
  // Otherwise nothing was shown of it.
  for (const name of [
    ...["enqueue", "get", "list", "counts", "exchange", "schedules", "children", "nextWake", "events"],
    ...["shard add", "shard recall", "shard spend", "shard settings"],
    ...["retryAll", "clear", "configure", "pause", "resume", "promote", "cancel", "remove", "schedule", "unschedule"],
  ])
    expect([...seen.keys()]).toContain(`${name} done`);
});

/** An error that is thrown by the object has lost its code on the way. */
async function answered(rpc: QueueRpc, call: RpcCall): Promise<Reply<unknown>> {
  try {
    return await made(rpc, call);
  } catch (error) {
    if (error instanceof QuaysideError) return { ok: false, error };
    throw new Error(`${spell(call)} was answered with a bare error: ${error}`);
  }
}

function nameOf({ verb, given }: RpcCall): string {
  const [first] = given as readonly [{ readonly type?: unknown } | string | undefined];
  if (verb === "shard") return typeof first === "string" ? `shard ${first.slice(0, 20).toWellFormed()}` : "shard";
  const type = verb === "command" && typeof first === "object" && first !== null ? first.type : verb;
  return typeof type === "string" && /^\w{1,20}$/.test(type) ? type : verb;
}

const spell = ({ verb, given }: RpcCall): string => `${verb} ${printed(given)}`.slice(0, 1_000);

/** JSON text of a value, and of what JSON does not take. */
function printed(value: unknown): string {
  const seen = new Set<unknown>();
  const text = JSON.stringify(value, (_, member: unknown) => {
    if (typeof member === "bigint" || typeof member === "function" || typeof member === "number") return String(member);
    if (typeof member !== "object" || member === null) return member;
    if (seen.has(member)) return "(again)";
    seen.add(member);
    return member instanceof Map || member instanceof Set || member instanceof RegExp ? String(member) : member;
  });
  return text ?? "undefined";
}
