import { RetryAfterError } from "@quayside/core";
import fc from "fast-check";

/** A value that is made afresh for each use, and says how: many of these cannot be printed. */
export class Hostile {
  readonly how: string;
  readonly make: () => unknown;

  constructor(how: string, make: () => unknown) {
    this.how = how;
    this.make = make;
  }

  [fc.toStringMethod](): string {
    return this.how;
  }
}

const fixed = (how: string, make: () => unknown) => new Hostile(how, make);
const boom = (): never => {
  throw new Error("hostile");
};

/** A value with this member is asked whether it is a promise. */
const THEN: string = "then";

const leaf: fc.Arbitrary<Hostile> = fc.oneof(
  fc.constantFrom(
    fixed("undefined", () => undefined),
    fixed("null", () => null),
    fixed("NaN", () => Number.NaN),
    fixed("-Infinity", () => Number.NEGATIVE_INFINITY),
    fixed("-5", () => -5),
    fixed("1e308", () => 1e308),
    fixed("5n", () => 5n),
    fixed("Symbol()", () => Symbol("hostile")),
    fixed("a function", () => () => {}),
    fixed("a lone surrogate", () => "\ud800"),
    fixed("U+0000", () => "\u0000"),
    fixed("300 kB of text", () => "x".repeat(300_000)),
    fixed("an invalid Date", () => new Date(Number.NaN)),
    fixed("a RegExp", () => /x/),
    fixed("a Map", () => new Map([[1, 2]])),
    fixed("a Promise", () => Promise.resolve(1)),
    fixed("a sparse array", () => new Array(3)),
    fixed("an Error", () => new Error("hostile")),
  ),
  fc.jsonValue().map((value) => fixed(JSON.stringify(value), () => value)),
);

/** Values that an API's answer, copied into an error, may have in place of a member. */
const MEMBERS = [
  "name",
  "message",
  "stack",
  "cause",
  "code",
  "status",
  "details",
  "retryAfter",
  "response",
  "headers",
] as const;

const shape: fc.Arbitrary<Hostile> = fc.oneof(
  fc
    .tuple(fc.constantFrom(...MEMBERS), leaf)
    .map(([member, { how, make }]) =>
      fixed(`an Error whose ${member} is ${how}`, () =>
        Object.defineProperty(new Error("hostile"), member, { value: make(), enumerable: true }),
      ),
    ),
  fc
    .constantFrom(...MEMBERS)
    .map((member) =>
      fixed(`an Error whose ${member} throws`, () =>
        Object.defineProperty(new Error("hostile"), member, { get: boom, enumerable: true }),
      ),
    ),
  leaf.map(({ how, make }) => fixed(`RetryAfterError(${how})`, () => new RetryAfterError(make() as number))),
  leaf.map(({ how, make }) =>
    fixed(`an Error whose response.headers.get answers ${how}`, () =>
      Object.assign(new Error("hostile"), { response: { status: 503, headers: { get: make } } }),
    ),
  ),
  leaf.map(({ how, make }) => fixed(`an object whose toJSON answers ${how}`, () => ({ toJSON: make }))),
  leaf.map(({ how, make }) => fixed(`{ a: [${how}] }`, () => ({ a: [make()] }))),
  fc.constantFrom(
    fixed("an object whose toJSON throws", () => ({ toJSON: boom })),
    fixed("an object whose getter throws", () => Object.defineProperty({}, "a", { get: boom, enumerable: true })),
    fixed("a thenable whose then throws", () => Object.defineProperty({}, THEN, { get: boom })),
    fixed("a proxy that throws at each trap", () => new Proxy({}, { get: boom, ownKeys: boom, getPrototypeOf: boom })),
    fixed("a revoked proxy", () => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return proxy;
    }),
    fixed("an object that contains itself", () => {
      const self: Record<string, unknown> = {};
      self.self = self;
      return self;
    }),
    fixed("an object nested 20,000 deep", () => {
      let value: unknown = 0;
      for (let depth = 0; depth < 20_000; depth++) value = { value };
      return value;
    }),
  ),
);

export const hostile: fc.Arbitrary<Hostile> = fc.oneof(leaf, shape);

/** Values that a request of 1 MiB (1.2 MB: 413) and a row of SQLite (40 MB: SQLITE_TOOBIG) do not hold. Seldom: they take time. */
const large: fc.Arbitrary<Hostile> = fc.constantFrom(
  fixed("1.2 MB of text", () => "x".repeat(1_200_000)),
  fixed("40 MB of text", () => "x".repeat(40_000_000)),
);

export const returned: fc.Arbitrary<Hostile> = fc.oneof(
  { weight: 149, arbitrary: hostile },
  { weight: 1, arbitrary: large },
);

/** Whether JSON says this value as it is (R35). What has a `toJSON` of its own says itself what it is. */
export function isJson(value: unknown, inside: readonly unknown[] = []): boolean {
  if (value === null || typeof value === "string" || typeof value === "boolean") return true;
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || inside.includes(value)) return false;
  if (typeof (value as { toJSON?: unknown }).toJSON === "function")
    return isJson((value as { toJSON(): unknown }).toJSON(), [...inside, value]);
  if (Array.isArray(value))
    return Array.from(value, (one, index) => index in value && isJson(one, [...inside, value])).every(Boolean);
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return false;
  return Object.values(value).every((one) => one === undefined || isJson(one, [...inside, value]));
}
