import {
  type Connectivity,
  defineJob,
  defineJobs,
  openTelemetry,
  Queue,
  type TelemetrySpan,
  type TelemetryTracer,
} from "@quayside/core";
import fc from "fast-check";
import { ended, type HostileProperty, property, QUEUE, refusedOrDone, same, sparing } from "./case.ts";
import type { HostileHome } from "./home.ts";
import { type Hostile, hostile } from "./values.ts";

/** Functions that the application lends to the queue. */
const MEMBERS = [
  ...["startActiveSpan", "spanContext", "setAttribute", "setStatus", "recordException", "end"],
  ...["isOnline", "watch", "probe"],
  ...["validate", "issues", "message", "value"],
] as const;
const ACTS = ["throws", "answers", "rejects", "never answers", "cannot be read"] as const;

interface Misdeed {
  readonly member: string;
  readonly act: (typeof ACTS)[number];
  readonly value: Hostile;
}

/** The members, of which those named by a misdeed misbehave for as long as `ill` says so. */
function misbehaving<T extends object>(right: T, misdeeds: readonly Misdeed[], ill: () => boolean): T {
  const members = { ...right };
  for (const { member, act, value } of misdeeds) {
    const own = (right as Record<string, unknown>)[member];
    if (!(member in right)) continue;
    Object.defineProperty(members, member, {
      enumerable: true,
      get: () => {
        if (!ill()) return own;
        if (act === "cannot be read") throw value.make();
        if (typeof own !== "function") return value.make();
        return () => {
          if (act === "throws") throw value.make();
          if (act === "answers") return value.make();
          return act === "rejects" ? Promise.reject(value.make()) : new Promise(() => {});
        };
      },
    });
  }
  return members;
}

/** Errors of a tracer are printed, because no listener takes them: thousands of times here. */
async function muted(run: () => Promise<void>): Promise<void> {
  const scope = globalThis as { reportError?: ((error: unknown) => void) | undefined };
  const { reportError } = scope;
  const { error } = console;
  scope.reportError = undefined;
  console.error = () => {};
  try {
    await run();
  } finally {
    scope.reportError = reportError;
    console.error = error;
  }
}

async function companions(home: HostileHome, misdeeds: readonly Misdeed[]): Promise<void> {
  let ill = true;
  const isIll = () => ill;
  const span: TelemetrySpan = {
    spanContext: () => ({ traceId: "1".repeat(32), spanId: "2".repeat(16), traceFlags: 1 }),
    setAttribute: () => {},
    setStatus: () => {},
    recordException: () => {},
    end: () => {},
  };
  const tracer: TelemetryTracer = {
    startActiveSpan: (_name, _options, run) => run(misbehaving(span, misdeeds, isIll)),
  };
  const heard = new Set<() => void>();
  const network: Connectivity = {
    isOnline: () => true,
    watch: (listener) => {
      heard.add(listener);
      return () => heard.delete(listener);
    },
    probe: async () => true,
  };
  let stage: "define" | "add" | "run" = "define";
  const schema = {
    version: 1 as const,
    vendor: "hostile",
    validate: (value: unknown) =>
      misdeeds.some(({ member }) => member === "issues" || member === "message")
        ? misbehaving({ issues: [misbehaving({ message: "wrong" }, misdeeds, isIll)] }, misdeeds, isIll)
        : misbehaving({ value }, misdeeds, isIll),
  };
  // A schema that cannot be read is refused as it is given. One that never answers holds up an add, whose caller waits
  // for it: it does so once the job is added.
  const waits = misdeeds.some(({ act, member }) => act === "never answers" && member === "validate");
  const input = misbehaving(schema, misdeeds, () => ill && (stage === "run" || (stage === "add" && !waits)));

  const ran = new Map<string, number>();
  const count = (name: string) => ran.set(name, (ran.get(name) ?? 0) + 1).get(name) as number;
  const failingOnce = (name: string) => () => {
    if (count(name) === 1) throw new Error("hostile");
  };
  const jobs = defineJobs({
    neighbour: defineJob({ handler: (payload: unknown) => void count(`neighbour ${payload}`) }),
    checked: defineJob({ input: { "~standard": input } as never, handler: failingOnce("checked") }),
    sent: defineJob({ handler: failingOnce("sent") }),
  });
  const queue = new Queue(QUEUE, home.driver, {
    clock: home.clock,
    jobs,
    telemetry: openTelemetry(misbehaving(tracer, misdeeds, isIll)),
    defaults: { backoff: "1s", timeout: "10s", maxAttempts: 3 },
  });
  queue.on("error", () => {});
  stage = "add";
  const checked = await refusedOrDone(home, async () => queue.addJob("checked", {} as never), true);
  stage = "run";
  const sent = await queue.addJob("sent", {} as never, { requires: "network" });
  const neighbours = [0, 1, 2];
  const ids: string[] = [sent, ...(checked === undefined ? [] : [checked])];
  for (const index of neighbours) ids.push(await queue.addJob("neighbour", index as never));
  // A connectivity that cannot be read is refused as it is given, and leaves the queue as it was.
  const unreadable = misdeeds.some(({ act, member }) => act === "cannot be read" && member === "isOnline");
  const running = queue.run({ connectivity: misbehaving(network, misdeeds, isIll), concurrency: 20 });
  await (unreadable ? running.catch(() => queue.run({ concurrency: 20 })) : running);
  try {
    await sparing(home, async () => {
      for (let step = 0; step < 10; step++) await home.advance(2_000);
      // What is said of the network is believed: a job that waits for it ends when it is back.
      ill = false;
      for (const listener of heard) listener();
      await ended(home, queue as never, ids);
    });
    for (const [name, runs] of ran) if (runs > 3) throw new Error(`${name} ran ${runs} times, its maxAttempts is 3.`);
    for (const index of neighbours) same(ran.get(`neighbour ${index}`), 1, `runs of neighbour ${index}`);
    for (const id of [sent, ...ids.slice(-3)]) same((await queue.get(id))?.state, "completed", `state of ${id}`);
  } finally {
    await queue.stop({ timeout: 0 });
  }
}

export const COMPANIONS: readonly HostileProperty[] = [
  property(
    "whatever telemetry, connectivity and schemas do, each job ends within its maxAttempts, and its neighbours complete once",
    fc.array(fc.record({ member: fc.constantFrom(...MEMBERS), act: fc.constantFrom(...ACTS), value: hostile }), {
      minLength: 1,
      maxLength: 3,
    }),
    (home, misdeeds) => muted(() => companions(home, misdeeds)),
  ),
];
