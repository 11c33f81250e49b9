import { type HandlerContext, QuaysideError, RetryAfterError, UnrecoverableError } from "@quayside/core";
import type { Kind } from "./notes.ts";

/** In [0, 1). */
export type Random = () => number;

export const pick = <T>(random: Random, from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;

/** How many of 200 jobs are of each kind. */
const SHARES: Readonly<Record<Kind, number>> = {
  plain: 160,
  slow: 16,
  flaky: 10,
  hopeless: 5,
  released: 5,
  talkative: 2,
  badResult: 2,
};

const KINDS: readonly Kind[] = (Object.keys(SHARES) as Kind[]).flatMap((kind) => Array<Kind>(SHARES[kind]).fill(kind));

export const anyKind = (random: Random): Kind => pick(random, KINDS);

/** Hostile values that a handler throws. None of them ends the job for good. */
const THROWN: readonly (() => unknown)[] = [
  () => new Error("plain"),
  () => "a text",
  () => undefined,
  () => null,
  () => Number.NaN,
  () => Symbol("thrown"),
  () => 10n,
  () => () => {},
  () => Object.create(null),
  () => Object.assign(new Error("x"), { stack: null }),
  () => Object.assign(new Error("x"), { message: ["a"], stack: 7, name: {} }),
  () => Object.assign(new Error("x"), { code: Symbol("code"), details: () => {} }),
  () => Object.assign(new Error("x"), { response: { headers: { get: () => 120 } } }),
  () => Object.assign(new Error("x"), { headers: { get: () => "-3" } }),
  () => new Error("y".repeat(300_000)),
  () =>
    Object.defineProperty(new Error("x"), "message", {
      get: () => {
        throw new Error("no message");
      },
    }),
  () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  },
  () => new RetryAfterError(Number.NaN),
  () => new RetryAfterError(-5),
  () => new QuaysideError("network", "away"),
];

const RESULTS: readonly (() => unknown)[] = [
  () => "z".repeat(400_000),
  () => () => {},
  () => 1n,
  () => {
    const loop: { self?: object } = {};
    loop.self = loop;
    return loop;
  },
  () => ({
    toJSON: () => {
      throw new Error("no JSON");
    },
  }),
  () => new Map([[1, 2]]),
];

/** Does what a job of this kind does. Resolves with its result when the work is done; rejects when it is not. */
export async function behave(
  kind: Kind,
  ctx: HandlerContext,
  random: Random,
  pause: (ms: number) => Promise<void>,
): Promise<unknown> {
  switch (kind) {
    case "plain":
      return undefined;
    case "slow":
      await pause(random() * 40);
      return { slow: true };
    case "flaky":
      if (ctx.attempt === 1) throw pick(random, THROWN)();
      return "at last";
    case "hopeless":
      if (random() < 0.1) throw new UnrecoverableError("never");
      throw pick(random, THROWN)();
    case "released":
      if (random() < 0.5) return ctx.release(Math.floor(random() * 20));
      return undefined;
    case "talkative":
      for (let line = 0; line < 150; line++) ctx.log(`line ${line} ${"x".repeat(Math.floor(random() * 9_000))}`);
      for (const value of [0.5, "w".repeat(200_000)]) {
        try {
          ctx.progress(value);
        } catch {
          // Over its bound: refused, and nothing else comes of it.
        }
      }
      return undefined;
    case "badResult":
      return pick(random, RESULTS)();
  }
}
