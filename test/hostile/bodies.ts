import fc from "fast-check";
import { broken } from "../edge/fuzz/break.ts";
import { type HostileProperty, property, QUEUE, refusedOrDone, sparing } from "./case.ts";
import type { HostileHome } from "./home.ts";

const job = {
  name: "email",
  payload: "0",
  maxAttempts: 2,
  dedupe: { key: "k", mode: "drop" },
  tags: ["a"],
};

/** An exchange of a worker that holds two jobs and settles one; their tokens come later. */
const exchange = {
  worker: "w",
  leaseMs: 10_000,
  exchange: 2,
  settle: [{ token: "token-0", outcome: "failed", error: { code: "handler_failed", message: "x" }, retryMs: 5 }],
  running: ["token-1"],
  progress: [{ token: "token-1", value: "1", log: ["x"] }],
};

/** A right request of each verb, as callers in the process make it: they have types, so their mistakes keep them. */
const TYPED = {
  enqueue: [[{ queue: QUEUE, ...job }]],
  list: [{ queue: QUEUE, state: "waiting", limit: 10, cursor: "0", tags: ["a"] }],
  command: [{ type: "update", queue: QUEUE, id: "one", priority: 1, delayMs: 5 }],
  exchange: [
    {
      ...exchange,
      liveness: "time",
      claim: { limit: 1, prefetch: 0, queues: [{ queue: QUEUE, limit: 1, names: ["email"] }] },
    },
  ],
} as const;

/** Much the same as JSON from strangers, who may send any. */
const SENT = {
  enqueue: ["POST", "jobs", [{ name: "email", payload: 0, options: { maxAttempts: 2, delay: 5, tags: ["a"] } }]],
  list: ["PUT", "schedules/daily", { rule: { every: 1_000 }, job: { name: "email", payload: 0 } }],
  command: ["PATCH", "jobs/one", { priority: 1, delay: 5 }],
  exchange: ["POST", "exchange", { ...exchange, claim: { limit: 1, prefetch: 0, names: ["email"] } }],
} as const;

type Verb = keyof typeof TYPED;

interface Wrong {
  readonly verb: Verb;
  readonly typed: unknown;
  readonly sent: unknown;
}

async function bodies(home: HostileHome, { verb, typed, sent }: Wrong): Promise<void> {
  const { driver, send } = home;
  const first = { queue: QUEUE, name: "email", payload: "0", maxAttempts: 2 };
  await driver.enqueue([{ ...first, id: "one" }, first, first]);
  const { jobs } = await driver.exchange({
    worker: "w",
    liveness: "time",
    leaseMs: 10_000,
    exchange: 1,
    settle: [],
    running: [],
    claim: { limit: 2, prefetch: 0, queues: [{ queue: QUEUE, limit: 2 }] },
  });
  const [one, two] = jobs.map(({ token }) => token);
  const body = JSON.parse(
    JSON.stringify((send ? sent : typed) ?? null)
      .replaceAll("token-0", `${one}`)
      .replaceAll("token-1", `${two}`),
  );
  await sparing(home, () =>
    refusedOrDone(home, async () => {
      if (send) return send(SENT[verb][0], SENT[verb][1], body);
      return (driver as unknown as Record<string, (body: unknown) => Promise<unknown>>)[verb]?.(body);
    }),
  );
}

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.constantFrom("", "NaN", "-5", "1e9", "\u0000", "\ud800", "9".repeat(400), "x".repeat(300_000)),
);

/** Members of which the type says each value that they may have. */
const CHOICES = ["type", "state", "liveness", "outcome", "code", "mode"];

/** Another value of the same type in one to three places, and lists that repeat themselves. */
const mistyped = (right: unknown): fc.Arbitrary<unknown> =>
  fc
    .array(
      fc.record({
        pick: fc.nat(40),
        text,
        number: fc.oneof(fc.nat(), fc.constantFrom(0, 1e15, Number.MAX_SAFE_INTEGER)),
      }),
      { minLength: 1, maxLength: 3 },
    )
    .map((places) => {
      const copy = { body: structuredClone(right) };
      for (const { pick, text, number } of places) {
        const members = membersOf(copy);
        const [owner, name] = members[pick % members.length] as Member;
        const value = owner[name];
        if (Array.isArray(value)) value.push(...value);
        else owner[name] = typeof value === "number" ? number : text;
      }
      return copy.body;
    });

type Member = readonly [owner: Record<string, unknown>, name: string];

/** Texts, numbers and lists at any depth. */
function membersOf(owner: object): Member[] {
  return Object.entries(owner).flatMap(([name, value]): Member[] => {
    const inner = typeof value === "object" && value !== null ? membersOf(value) : [];
    if (CHOICES.includes(name) || (typeof value === "object" && !Array.isArray(value))) return inner;
    return [[owner as Record<string, unknown>, name], ...inner];
  });
}

const VERBS = Object.keys(TYPED) as Verb[];

export const BODIES: readonly HostileProperty[] = [
  property(
    "the body of a verb with wrong members is refused and changes nothing, or leaves sound records",
    fc.oneof(
      ...VERBS.map((verb) =>
        fc.record({
          verb: fc.constant(verb),
          typed: mistyped(TYPED[verb][0]),
          sent: broken(fc.constant(SENT[verb][2])),
        }),
      ),
    ),
    bodies,
  ),
];
