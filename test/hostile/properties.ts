import {
  defineJob,
  defineJobs,
  type HandlerContext,
  type JobOptions,
  QuaysideError,
  Queue,
  UnrecoverableError,
} from "@quayside/core";
import { checkInvariants, snapshot } from "@quayside/core/testing";
import fc from "fast-check";
import { type HostileHome, MOST_READ, type OpenHome } from "./home.ts";
import { type Hostile, hostile, isJson } from "./values.ts";

const QUEUE = "mail";
/** A run says the same every time; another seed (HOSTILE_SEED) looks elsewhere. */
const SEED = 20_261_128;
/** Longest real time of one case: one that hangs fails, and says so. */
const WATCHDOG_MS = 20_000;

export interface HostileOptions {
  readonly open: OpenHome;
  readonly runs: number;
  readonly seed?: number | undefined;
}

/** A named property: what it says, and the check of it on a home. */
export interface HostileProperty {
  readonly name: string;
  readonly check: (options: HostileOptions) => Promise<void>;
}

const property = <T>(
  name: string,
  inputs: fc.Arbitrary<T>,
  run: (home: HostileHome, input: T) => Promise<void>,
): HostileProperty => ({
  name,
  check: async ({ open, runs, seed = SEED }) => {
    console.info(`${name}: ${runs} cases, HOSTILE_SEED=${seed}`);
    await fc.assert(
      fc.asyncProperty(inputs, async (input) => {
        const home = await open();
        const stray: unknown[] = [];
        const deaf = hearStrays((reason) => stray.push(reason));
        try {
          await within(run(home, input), home.meter?.endless);
          if (home.transact) same(await home.transact(checkInvariants), [], "violated invariants");
          same(stray.length, 0, `unhandled rejections (${stray.map(String)})`);
        } finally {
          deaf();
          await within(home.close());
        }
      }),
      { numRuns: runs, seed },
    );
  },
});

/** The part of a job that gets the hostile value. */
const THROWN = ["throw", "fail", "release", "middleware", "backoff", "retryIf", "onFailed"] as const;
const RETURNED = ["return"] as const;
const REPORTED = ["progress", "log"] as const;

type Place = (typeof THROWN | typeof RETURNED | typeof REPORTED)[number];

const misdeeds = (...places: readonly Place[]): fc.Arbitrary<Misdeed[]> =>
  fc.array(
    fc.record({ place: fc.constantFrom(...places), value: hostile, maxAttempts: fc.integer({ min: 1, max: 3 }) }),
    { minLength: 1, maxLength: 3 },
  );

interface Misdeed {
  readonly place: Place;
  readonly value: Hostile;
  readonly maxAttempts: number;
}

/** Runs beyond its attempts after which a handler stands still: a job that repeats for ever ends the case, not the run. */
const SPARE_RUNS = 5;

async function attempts(home: HostileHome, misdeeds: readonly Misdeed[]): Promise<void> {
  const ran = new Map<string, number>();
  const count = (name: string) => ran.set(name, (ran.get(name) ?? 0) + 1).get(name) as number;
  const definitions: Record<string, ReturnType<typeof defineJob>> = Object.fromEntries([
    ["neighbour", defineJob({ handler: (payload: unknown) => void count(`neighbour ${payload}`) })],
    ...misdeeds.map((one, index) => [`hostile-${index}`, definitionOf(one, () => count(`hostile-${index}`))] as const),
  ]);
  const jobs = defineJobs(definitions);
  const queue = new Queue(QUEUE, home.driver, { clock: home.clock, jobs, defaults: { backoff: "1s" } });
  queue.on("error", () => {});
  const neighbours = [0, 1, 2];
  const ids: string[] = [];
  for (const [index, { maxAttempts }] of misdeeds.entries())
    ids.push(await queue.addJob(`hostile-${index}`, null as never, { maxAttempts }));
  for (const index of neighbours) ids.push(await queue.addJob("neighbour", index as never));
  const before = home.meter?.read ?? 0;
  await queue.run();
  try {
    await ended(home, queue, ids);
    for (const [index, { place, maxAttempts }] of misdeeds.entries()) {
      const runs = ran.get(`hostile-${index}`) ?? 0;
      // The one run that released is no attempt.
      const most = maxAttempts + (place === "release" ? 1 : 0);
      if (runs > most) throw new Error(`hostile-${index} ran ${runs} times, its maxAttempts is ${maxAttempts}.`);
    }
    for (const id of ids) {
      const { result, error, progress } = (await queue.get(id)) ?? {};
      const kept = {
        result: JSON.stringify(result),
        progress: JSON.stringify(progress),
        "error message": error?.message,
      };
      for (const [what, text = ""] of Object.entries(kept)) {
        const most = (what === "error message" ? 8 : 128) * 1024;
        if (text.length > most) throw new Error(`The ${what} that is kept has ${text.length} characters.`);
      }
    }
    for (const index of neighbours) same(ran.get(`neighbour ${index}`), 1, `runs of neighbour ${index}`);
    const read = (home.meter?.read ?? 0) - before;
    if (read > MOST_READ) throw new Error(`The case read ${read} records.`);
  } finally {
    await queue.stop({ timeout: 0 });
  }
}

function definitionOf({ place, value, maxAttempts }: Misdeed, count: () => number) {
  const failed = () => new Error("hostile");
  return defineJob({
    handler: (_: unknown, ctx: HandlerContext) => {
      const runs = count();
      if (runs > maxAttempts + SPARE_RUNS) return new Promise(() => {});
      switch (place) {
        case "return":
          return value.make();
        case "progress":
          return ctx.progress(value.make() as never);
        case "log":
          return ctx.log(value.make() as string);
        case "fail":
          return ctx.fail(value.make() as string);
        case "release":
          // A release is no attempt: only the first run makes one that may be accepted.
          if (runs > 1) throw new UnrecoverableError("released before");
          return ctx.release(value.make() as number);
        case "middleware":
          return null;
        case "throw":
          throw value.make();
        default:
          throw failed();
      }
    },
    ...(place === "middleware" && {
      middleware: [
        async (_: unknown, next: () => Promise<unknown>) => {
          await next();
          throw value.make();
        },
      ],
    }),
    ...(place === "backoff" && { backoff: () => value.make() as number }),
    ...(place === "retryIf" && { retryIf: () => value.make() as boolean }),
    ...(place === "onFailed" && {
      onFailed: () => {
        throw value.make();
      },
    }),
  });
}

/** Steps of the clock: backoffs that a hostile value chose may be long, as long as anybody may ask for. */
const STEPS = [...Array(20).fill(2_000), 60_000, 3_600_000, 86_400_000, 366 * 86_400_000];

/** Moves the clock until all have ended; where a store answers late, for as long as a case may take. */
async function ended(home: HostileHome, queue: Asked, ids: readonly string[]): Promise<void> {
  for (let step = 0; ; ) {
    const left = await unfinished(queue, ids);
    if (left.length === 0) return;
    // What runs has to be told of before much time passes: it would lose its lease.
    const active = left.some((one) => one.endsWith(" active"));
    if (step >= STEPS.length && home.prompt) throw new Error(`Jobs that have not ended: ${left}.`);
    await home.advance(active ? 100 : (STEPS[step++] ?? 86_400_000));
  }
}

interface Asked {
  get(id: string): Promise<{ readonly name: string; readonly state: string } | undefined>;
}

async function unfinished(queue: Asked, ids: readonly string[]): Promise<string[]> {
  const jobs = await Promise.all(ids.map((id) => queue.get(id)));
  return jobs.flatMap((job) =>
    job && !["completed", "failed", "cancelled"].includes(job.state) ? [`${job.name} ${job.state}`] : [],
  );
}

/** Checks that a refused call has a code and has left the records as they were. */
async function refusedOrDone<T>(home: HostileHome, run: () => Promise<T>): Promise<T | undefined> {
  const look = async () =>
    JSON.stringify(
      home.transact
        ? await home.transact(snapshot)
        : await Promise.all([home.driver.list({ queue: QUEUE }), home.driver.schedules(QUEUE)]),
    );
  const before = await look();
  try {
    return await run();
  } catch (error) {
    same(await look(), before, "records after a refusal");
    if (!(error instanceof QuaysideError)) throw new Error(`Refused without a code: ${String(error)}`);
    return undefined;
  }
}

async function payloads(home: HostileHome, value: Hostile): Promise<void> {
  const queue = new Queue(QUEUE, home.driver, { clock: home.clock });
  const id = await refusedOrDone(home, async () => queue.addJob("email", value.make()));
  if (id === undefined) return;
  // No payload is null to JSON: a job may need none.
  if (value.make() === undefined) return same((await queue.get(id))?.payload, null, "stored payload");
  if (!isJson(value.make())) throw new Error("A payload that JSON would change was stored.");
  const stored = await queue.get(id);
  same(stored?.payload, JSON.parse(JSON.stringify(value.make())), "stored payload");
}

const OPTIONS = [
  "id",
  "delay",
  "availableAt",
  "priority",
  "maxAttempts",
  "maxExceptions",
  "maxInterruptions",
  "backoff",
  "timeout",
  "dedupe",
  "group",
  "tags",
  "keep",
  "requires",
  "expiresIn",
] as const;

async function options(home: HostileHome, given: readonly (readonly [string, Hostile])[]): Promise<void> {
  const queue = new Queue(QUEUE, home.driver, { clock: home.clock });
  await refusedOrDone(home, async () =>
    queue.addJob("email", 0, Object.fromEntries(given.map(([name, { make }]) => [name, make()])) as JobOptions),
  );
}

/** A valid body of each verb; one member at some depth is put aside for a hostile value. */
const BODIES = {
  enqueue: { jobs: [{ queue: QUEUE, name: "email", payload: "0", maxAttempts: 2 }] },
  list: { queue: QUEUE, state: "waiting", limit: 10, cursor: "0", tags: ["a"] },
  command: { type: "update", queue: QUEUE, id: "one", priority: 1, delayMs: 5 },
  exchange: {
    worker: "w",
    liveness: "time",
    leaseMs: 10_000,
    exchange: 1,
    settle: [{ token: "1.0", outcome: "failed", error: { code: "handler_failed", message: "x" }, retryMs: 5 }],
    running: ["1.1"],
    progress: [{ token: "1.1", value: 1, log: ["x"] }],
    claim: { limit: 1, prefetch: 0, queues: [{ queue: QUEUE, limit: 1, names: ["email"] }] },
  },
} as const;

/** Cursors, ids and keys are texts: only these are asked of a driver in the process, whose callers have types. */
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.constantFrom("", "/", "\u0000", "\ud800", "\uffff", "a\u0001b", "ready", "[]", "{}", "-1", "x".repeat(300)),
);

async function ids(home: HostileHome, given: { readonly id: string; readonly cursor: string; readonly queue: string }) {
  await home.driver.enqueue(BODIES.enqueue.jobs);
  const { driver } = home;
  const calls: (() => Promise<unknown>)[] = [
    () => driver.get(given.queue, given.id),
    () => driver.get(QUEUE, given.id),
    () => driver.list({ queue: QUEUE, cursor: given.cursor }),
    () => driver.list({ queue: given.queue, state: "failed", cursor: given.cursor, tags: [given.id] }),
    () => driver.counts(given.queue),
    () => driver.schedules(given.queue),
    () => driver.nextWake([given.queue]),
    () => driver.command({ type: "cancel", queue: given.queue, id: given.id }),
    () => driver.command({ type: "unschedule", queue: QUEUE, key: given.id }),
  ];
  for (const call of calls) {
    const before = home.meter?.read ?? 0;
    await refusedOrDone(home, call);
    const read = (home.meter?.read ?? 0) - before;
    if (read > MOST_READ) throw new Error(`One call read ${read} records.`);
  }
  // What names nothing of this queue has changed nothing in it.
  if (given.queue !== QUEUE) same((await driver.counts(QUEUE)).waiting, 1, "waiting");
}

interface Wrong {
  readonly verb: keyof typeof BODIES;
  readonly pick: number;
  readonly text: string;
  readonly number: number;
}

/** Callers of a driver have types, so a member keeps its own; for bodies of any shape there are the tests of the API. */
async function bodies(home: HostileHome, wrong: Wrong) {
  const { verb } = wrong;
  const body = put(BODIES[verb], wrong);
  await refusedOrDone(home, async () => {
    const driver = home.driver as unknown as Record<string, (body: unknown) => Promise<unknown>>;
    return driver[verb]?.(verb === "enqueue" ? (body as { jobs?: unknown }).jobs : body);
  });
}

/** Members of which the type says each value that they may have. */
const CHOICES = ["type", "state", "liveness", "outcome", "code"];

/** A copy in which the `pick`-th text or number, counted over all depths, is another one. */
function put(body: object, { pick, text, number }: Wrong): unknown {
  const copy = structuredClone(body) as object;
  const members: (readonly [Record<string, unknown>, string])[] = [];
  const walk = (one: unknown): void => {
    if (typeof one !== "object" || one === null) return;
    for (const [name, child] of Object.entries(one)) {
      if (typeof child !== "object" && !CHOICES.includes(name)) members.push([one as Record<string, unknown>, name]);
      walk(child);
    }
  };
  walk(copy);
  const [owner, name] = members[pick % members.length] as readonly [Record<string, unknown>, string];
  owner[name] = typeof owner[name] === "number" ? number : text;
  return copy;
}

const YEAR = 365 * 86_400_000;

/** Whatever the clock does, each job runs once, and within its delay of the time that has passed. */
async function clocks(home: HostileHome, jumps: readonly number[]): Promise<void> {
  const ran: number[] = [];
  const queue = new Queue(QUEUE, home.driver, { clock: home.clock });
  queue.on("job:email", (payload) => void ran.push(payload as number));
  for (const index of [0, 1, 2]) await queue.addJob("email", index, { delay: index * 1_000 });
  await queue.run();
  try {
    const second = async () => {
      await home.advance(1_000);
      // Where a store answers late, its answers come in meanwhile.
      if (!home.prompt) await queue.counts();
    };
    for (const jump of jumps) {
      await home.jump(jump);
      await second();
    }
    for (let step = 0; step < 70 || (step < 500 && ran.length < 3); step++) await second();
    same([...ran].sort(), [0, 1, 2], "jobs run");
  } finally {
    await queue.stop({ timeout: 0 });
  }
}

/** Left out over HTTP, where each second is a request, and in the object, where it mixes the I/O of two objects. */
export const CLOCKS = "a clock that jumps forth and back loses no job and runs none twice";

export const PROPERTIES: readonly HostileProperty[] = [
  property(
    "whatever its handler, middleware or hooks throw, a job ends within its maxAttempts, and its neighbours complete once",
    misdeeds(...THROWN),
    attempts,
  ),
  property(
    "whatever its handler returns, a job ends within its maxAttempts, and its neighbours complete once",
    misdeeds(...RETURNED),
    attempts,
  ),
  property(
    "whatever its handler reports, a job ends within its maxAttempts, and its neighbours complete once",
    misdeeds(...REPORTED),
    attempts,
  ),
  property("a payload that JSON would change is refused, and refusing it changes nothing", hostile, payloads),
  property(
    "a job option that cannot be meant is refused with a code, and refusing it changes nothing",
    fc.array(fc.tuple(fc.constantFrom(...OPTIONS), hostile), { minLength: 1, maxLength: 3 }),
    options,
  ),
  property(
    "an id, a key or a cursor of any text reads at most 10,000 records and reaches no other queue",
    fc.record({ id: text, cursor: text, queue: text }),
    ids,
  ),
  property(
    "the body of a verb with one wrong member is refused with a code and changes nothing, or leaves sound records",
    fc.record({
      verb: fc.constantFrom("enqueue", "list", "command", "exchange" as const),
      pick: fc.nat(40),
      text,
      number: fc.oneof(fc.nat(), fc.constantFrom(0, 1e15, Number.MAX_SAFE_INTEGER)),
    }),
    bodies,
  ),
  property(CLOCKS, fc.array(fc.integer({ min: -YEAR, max: YEAR }), { maxLength: 5 }), clocks),
];

function same(told: unknown, expected: unknown, what: string): void {
  const [a, b] = [told, expected].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`${what}: ${a}, expected ${b}`);
}

async function within<T>(work: Promise<T>, ...ends: (Promise<never> | undefined)[]): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`The case hung for ${WATCHDOG_MS} ms.`)), WATCHDOG_MS);
  });
  try {
    return await Promise.race([work, late, ...ends.filter((end) => end !== undefined)]);
  } finally {
    if (timer !== undefined) clearTimeout(timer);
  }
}

/** Node, workerd and pages each tell in their own way of a rejection that nobody handles. */
function hearStrays(tell: (reason: unknown) => void): () => void {
  const { process, addEventListener, removeEventListener } = globalThis as unknown as {
    process?: {
      on?(name: string, listener: (reason: unknown) => void): unknown;
      off?(name: string, listener: (reason: unknown) => void): unknown;
    };
    addEventListener?(name: string, listener: (event: { reason: unknown }) => void): void;
    removeEventListener?(name: string, listener: (event: { reason: unknown }) => void): void;
  };
  if (addEventListener && removeEventListener) {
    const listener = ({ reason }: { reason: unknown }) => tell(reason);
    addEventListener("unhandledrejection", listener);
    return () => removeEventListener("unhandledrejection", listener);
  }
  process?.on?.("unhandledRejection", tell);
  return () => void process?.off?.("unhandledRejection", tell);
}
