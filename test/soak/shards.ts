import { registerHooks } from "node:module";
import { type Clock, everything, Queue } from "@quayside/core";
import { type ExchangeReply, type ExchangeRequest, MemoryStore, StoreDriver } from "@quayside/core/engine";
import type { ShardPort, ShardVerbs } from "@quayside/edge";
import { createManualClock, type ManualClock, seededRandom } from "@quayside/testing";
// biome-ignore lint/style/noRestrictedImports: the soak runs the programs of a shard on stores in memory.
import { addToShard, liveGroups, recallInShard, shardSettings } from "../../packages/edge/src/shards/shard-in-store.ts";
import type { Random } from "./behaviour.ts";
import { Ledger } from "./ledger.ts";
import type { SoakOptions, SoakResult } from "./run.ts";

const SHARDS = 4;
const WORKERS = 2;
const QUEUE = "soak";
const LEASE_MS = 10_000;
const CONCURRENCY = 50;
/** Jobs over all shards, in each of the runs that are compared. */
const JOBS = process.env["QUAYSIDE_ALL"] ? 10_000 : 1_000;
const SLOW_MS = 3_000;
/** A queue whose jobs have not ended by then is stuck. */
const STUCK_MS = 600_000;

const FAULTS = ["throws", "hangs", "is slow", "is killed"] as const;
type Fault = (typeof FAULTS)[number];

/** The store of one shard, as its object keeps it, with the faults that an object can have. */
class Shard extends StoreDriver {
  fault: Fault | undefined;
  exchanges = 0;
  readonly #clock: Clock;

  constructor(store: MemoryStore, clock: Clock, shard: number) {
    super(store.connect(), { plugins: everything(), clock, storeNumber: shard });
    this.#clock = clock;
  }

  override async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    this.exchanges++;
    if (this.fault === "throws") throw new Error("The soak refuses this.");
    if (this.fault === "hangs") return new Promise(() => {});
    if (this.fault === "is slow") await new Promise<void>((resolve) => void this.#clock.after(SLOW_MS, resolve));
    const reply = await super.exchange({ ...request, liveness: "time" });
    // An object that is killed has written all of a transaction, and its answer is lost.
    if (this.fault === "is killed") throw new Error("The object was killed.");
    return reply;
  }

  /** No job here is a parent: a reply is one page. */
  exchangePage(request: ExchangeRequest): Promise<ExchangeReply> {
    return this.exchange(request);
  }

  async shard<Verb extends keyof ShardVerbs>(verb: Verb, ask: ShardVerbs[Verb]["ask"]): Promise<unknown> {
    switch (verb) {
      case "add":
        return this.run((tx) => addToShard(tx, ask as ShardVerbs["add"]["ask"], (_, queue) => liveGroups(queue)));
      case "recall": {
        const { jobs, request, count } = ask as ShardVerbs["recall"]["ask"];
        return this.run((tx) => recallInShard(tx, jobs, request, count));
      }
      default:
        return this.run((tx) => shardSettings(tx, (ask as ShardVerbs["settings"]["ask"]).queue));
    }
  }

  follow(): void {}
  touch(): void {}
  heard(): undefined {}
}

interface Run {
  /** Simulated ms until the last job of a healthy shard was done. */
  readonly ms: number;
  /** Exchanges that the healthy shards were asked for from the beginning of the fault until then, for each 100 of their jobs. */
  readonly exchanges: number;
  readonly repeats: ReadonlyMap<number, number>;
}

/** Works the jobs of a queue over four shards. @param faulty the shard with the fault, or without jobs where there is none. */
async function work(
  ledger: Ledger,
  fault: Fault | undefined,
  faulty: number,
  random: Random,
  first: number,
): Promise<Run> {
  const { ShardedDriver } = await import("@quayside/edge/engine");
  const { shardOfKey } = await import("@quayside/edge/shards");
  const clock: ManualClock = createManualClock();
  const shards = Array.from({ length: SHARDS }, (_, shard) => new Shard(new MemoryStore(), clock, shard));
  const connect = () =>
    new ShardedDriver((shard) => shards[shard] as unknown as ShardPort, { shards: SHARDS, clock, random });
  const producer = new Queue<{ plain: number }>(QUEUE, connect(), { clock });
  const shardOf = (job: number) => shardOfKey(`job-${job}`, SHARDS);
  const jobs = Array.from({ length: JOBS }, (_, index) => first + index).filter(
    (job) => fault !== undefined || shardOf(job) !== faulty,
  );
  for (let from = 0; from < jobs.length; from += 1_000) {
    const some = jobs.slice(from, from + 1_000);
    ledger.keep(some.map((job) => ({ what: "tried", job, kind: "plain" }) as const));
    await producer.addJobs(some.map((job) => ({ name: "plain", payload: job, id: `job-${job}` })));
    ledger.keep(some.map((job) => ({ what: "added", job }) as const));
  }
  const healthy = new Set(jobs.filter((job) => shardOf(job) !== faulty));
  const left = new Set(jobs);
  const runs = new Map<number, number>();
  const shard = shards[faulty] as Shard;
  for (let worker = 0; worker < WORKERS; worker++) {
    const queue = new Queue<{ plain: number }>(QUEUE, connect(), { clock });
    queue.on("error", () => {});
    queue.on("job:plain", async (job, { id }) => {
      const count = (runs.get(job) ?? 0) + 1;
      runs.set(job, count);
      const label = shardOf(job) === faulty ? `faulty ${first}` : `worker ${worker} ${first}`;
      const run = `${job}/${count}`;
      ledger.keep([{ what: "began", job, id, kind: "plain", run, worker: label }]);
      await new Promise<void>((resolve) => void clock.after(5 + Math.floor(random() * 10), resolve));
      ledger.keep([{ what: "done", job, run }]);
      left.delete(job);
      healthy.delete(job);
    });
    await queue.run({ concurrency: CONCURRENCY, lease: LEASE_MS });
  }
  // It has given some of its jobs before anything is wrong.
  await clock.advance(50);
  // What a shard with a fault has given may be repeated: its leases run out.
  if (fault) ledger.disturbUntil(`faulty ${first}`, "cut off for longer than its lease");
  shard.fault = fault;
  const asked = () => shards.reduce((sum, one) => sum + (one === shard ? 0 : one.exchanges), 0);
  const askedBefore = asked();
  const jobsLeft = healthy.size;
  const step = async () => {
    await clock.advance(5);
    await new Promise((resolve) => setImmediate(resolve));
  };
  while (healthy.size > 0 && clock.monotonic() < STUCK_MS) await step();
  const ms = clock.monotonic();
  const exchanges = Math.round(((asked() - askedBefore) / jobsLeft) * 100);
  // Longer than a lease: the workers let go of what they hold there.
  for (let wait = 0; fault && wait < 2 * LEASE_MS; wait += 500) await clock.advance(500);
  shard.fault = undefined;
  while (left.size > 0 && clock.monotonic() < STUCK_MS) await step();
  // The last settlements: a shard is asked again after half a minute at the latest.
  const unsettled = async () => {
    const { waiting, delayed, active } = await producer.counts();
    return waiting + delayed + active;
  };
  while ((await unsettled()) > 0 && clock.monotonic() < STUCK_MS) await clock.advance(500);
  if (clock.monotonic() > 90_000)
    ledger.violation("stuck", `a shard that ${fault}: over after ${clock.monotonic()} ms`);
  if ((await unsettled()) > 0)
    ledger.violation("stuck", `a shard that ${fault}: ${await unsettled()} jobs have not ended`);
  for (const job of left) ledger.violation("lost", `job ${job} of shard ${shardOf(job)}`);
  const repeats = new Map<number, number>();
  for (const [job, count] of runs) if (count > 1) repeats.set(shardOf(job), (repeats.get(shardOf(job)) ?? 0) + 1);
  return { ms, exchanges, repeats };
}

/**
 * A queue over four shards, one of which throws, hangs, is slow or loses its answers, with two workers: the others take the
 * exchanges and the simulated time that they take where that shard has no jobs, and no job of theirs runs twice.
 */
export async function soakShards({ seed }: SoakOptions): Promise<SoakResult> {
  const ledger = new Ledger();
  for (const [tx, fault] of FAULTS.entries()) {
    const faulty = (tx + seed) % SHARDS;
    const alone = await work(ledger, undefined, faulty, seededRandom(seed), 2 * tx * JOBS);
    const beside = await work(ledger, fault, faulty, seededRandom(seed), (2 * tx + 1) * JOBS);
    console.log(
      `shards: one that ${fault}: the others took ${beside.ms} ms and ${beside.exchanges} exchanges per 100 jobs; ` +
        `without its jobs ${alone.ms} ms and ${alone.exchanges}; ${beside.repeats.get(faulty) ?? 0} of its jobs ran again`,
    );
    for (const [shard, count] of beside.repeats)
      if (shard !== faulty) ledger.violation("repeated", `${count} jobs of shard ${shard} beside one that ${fault}`);
    if (beside.ms > alone.ms * 1.1 + 1_100)
      ledger.violation("delayed", `${beside.ms} ms beside a shard that ${fault}, ${alone.ms} ms without`);
    if (beside.exchanges > alone.exchanges * (JOBS < 10_000 ? 2 : 1.15))
      ledger.violation(
        "delayed",
        `${beside.exchanges} exchanges beside a shard that ${fault}, ${alone.exchanges} without`,
      );
  }
  return { home: "shards", ...ledger.verdict([]) };
}

// The driver of a split queue is in the entry for Workers, which names a module that only workerd has.
const STUB =
  "export class DurableObject {} export class WorkerEntrypoint {} export class RpcTarget {} export const env = {};";
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "cloudflare:workers"
      ? { url: `data:text/javascript,${STUB}`, shortCircuit: true }
      : next(specifier, context),
});
