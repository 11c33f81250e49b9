import { defineJob, defineJobs, type HandlerContext, type JobOptions, Queue, UnrecoverableError } from "@quayside/core";
import fc from "fast-check";
import { BODIES } from "./bodies.ts";
import { ended, type HostileProperty, property, QUEUE, refusedOrDone, same, sparing, writesNothing } from "./case.ts";
import { COMPANIONS } from "./companions.ts";
import type { HostileHome } from "./home.ts";
import { type Hostile, hostile, isJson, returned } from "./values.ts";

/** The part of a job that gets the hostile value. */
const THROWN = ["throw", "fail", "release", "middleware", "backoff", "retryIf", "onFailed"] as const;
const RETURNED = ["return"] as const;
const REPORTED = ["progress", "log"] as const;

type Place = (typeof THROWN | typeof RETURNED | typeof REPORTED)[number];

const misdeeds = (places: readonly Place[], value = hostile): fc.Arbitrary<Misdeed[]> =>
  fc.array(fc.record({ place: fc.constantFrom(...places), value, maxAttempts: fc.integer({ min: 1, max: 3 }) }), {
    minLength: 1,
    maxLength: 3,
  });

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
  await queue.run();
  try {
    await sparing(home, () => ended(home, queue, ids));
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

/** Cursors, ids and keys are texts: only these are asked of a driver in the process, whose callers have types. */
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.constantFrom("", "/", "\u0000", "\ud800", "\uffff", "a\u0001b", "ready", "[]", "{}", "-1", "x".repeat(300)),
);

async function ids(home: HostileHome, given: { readonly id: string; readonly cursor: string; readonly queue: string }) {
  await home.driver.enqueue([{ queue: QUEUE, name: "email", payload: "0", maxAttempts: 2 }]);
  const { driver } = home;
  const reads: (() => Promise<unknown>)[] = [
    () => driver.get(given.queue, given.id),
    () => driver.get(QUEUE, given.id),
    () => driver.list({ queue: QUEUE, cursor: given.cursor }),
    () => driver.list({ queue: given.queue, state: "failed", cursor: given.cursor, tags: [given.id] }),
    () => driver.counts(given.queue),
    () => driver.schedules(given.queue),
    () => driver.nextWake([given.queue]),
  ];
  const commands: (() => Promise<unknown>)[] = [
    () => driver.command({ type: "cancel", queue: given.queue, id: given.id }),
    () => driver.command({ type: "unschedule", queue: QUEUE, key: given.id }),
  ];
  await sparing(home, async () => {
    await writesNothing(home, reads);
    for (const command of commands) await refusedOrDone(home, command);
  });
  // What names nothing of this queue has changed nothing in it.
  if (given.queue !== QUEUE) same((await driver.counts(QUEUE)).waiting, 1, "waiting");
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
    const wait = async () => {
      await home.advance(home.prompt ? 1_000 : 5_000);
      // Where a store answers late, its answers come in meanwhile.
      if (!home.prompt) await queue.counts();
    };
    for (const jump of jumps) {
      await home.jump(jump);
      await wait();
    }
    const steps = home.prompt ? 70 : 14;
    for (let step = 0; step < steps || (step < 500 && ran.length < 3); step++) await wait();
    same([...ran].sort(), [0, 1, 2], "jobs run");
  } finally {
    await queue.stop({ timeout: 0 });
  }
}

export const PROPERTIES: readonly HostileProperty[] = [
  property(
    "whatever its handler, middleware or hooks throw, a job ends within its maxAttempts, and its neighbours complete once",
    misdeeds(THROWN),
    attempts,
  ),
  property(
    "whatever its handler returns, a job ends within its maxAttempts, and its neighbours complete once",
    misdeeds(RETURNED, returned),
    attempts,
  ),
  property(
    "whatever its handler reports, a job ends within its maxAttempts, and its neighbours complete once",
    misdeeds(REPORTED),
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
  ...BODIES,
  ...COMPANIONS,
  property(
    "a clock that jumps forth and back loses no job and runs none twice",
    fc.array(fc.integer({ min: -YEAR, max: YEAR }), { maxLength: 5 }),
    clocks,
  ),
];
