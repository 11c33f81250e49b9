import fc from "fast-check";

/** A JSON value made of arrays of arrays. */
const nested = (levels: number): unknown => JSON.parse(`${"[".repeat(levels)}${"]".repeat(levels)}`);

/** What nobody should send. Parsed, so that `__proto__` is a member as it is in a request's body. */
const GARBAGE: readonly unknown[] = [
  ...[null, true, "", "\u0000", "\ud800", "a\udc00b", "x".repeat(300), "-5s", "1e9w", "NaN", "__proto__"],
  ...[-1, 0, 0.5, 1e308, -0, 2 ** 31, 2 ** 53 - 1, 2 ** 53, 2 ** 63, Number.MIN_VALUE],
  ...[[], {}, [[]], [null], { a: null }, nested(50), nested(120)],
  ...['{"__proto__":{"a":1}}', '{"constructor":{"prototype":1}}', '{"toString":1,"length":-1}', '{"toJSON":1}'].map(
    (text) => JSON.parse(text),
  ),
];

export const garbage = fc.oneof(fc.constantFrom(...GARBAGE), fc.jsonValue({ maxDepth: 2 }));

const NAMES = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "extra", "", "\u0000", "\ud800"];

interface Breakage {
  /** Which of all the places in the value. */
  readonly place: number;
  readonly act: "replace" | "remove" | "add" | "repeat";
  readonly name: string;
  readonly value: unknown;
}

const breakage: fc.Arbitrary<Breakage> = fc.record({
  place: fc.nat(1_000),
  act: fc.constantFrom("replace", "replace", "remove", "add", "repeat"),
  name: fc.oneof(fc.constantFrom(...NAMES), fc.string({ maxLength: 5 })),
  value: garbage,
});

/** Values that were right, with one to three things wrong. */
export const broken = (values: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc
    .tuple(values, fc.array(breakage, { minLength: 1, maxLength: 3 }))
    .map(([value, breakages]) => breakages.reduce(damage, value));

/** A copy of `root` with one thing wrong. */
function damage(root: unknown, { place, act, name, value }: Breakage): unknown {
  if (root === undefined) return value;
  // As JSON text goes, so that what is built here is what arrives; a lone surrogate stays one.
  const copy = { root: JSON.parse(JSON.stringify(root)) as unknown };
  const places = placesIn(copy);
  const [parent, key] = places[place % places.length] as Place;
  const target = (parent as Record<string, unknown>)[key];
  switch (act) {
    case "replace":
      define(parent, key, value);
      break;
    case "remove":
      if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else delete (parent as Record<string, unknown>)[key];
      break;
    case "add":
      if (Array.isArray(target)) target.push(value);
      else if (typeof target === "object" && target !== null) define(target, name, value);
      else define(parent, key, { [name]: target });
      break;
    case "repeat":
      define(parent, key, [target, target]);
      break;
  }
  return copy.root;
}

/** Not by assignment, which `__proto__` takes for something else. */
const define = (object: object, key: string, value: unknown) =>
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });

type Place = readonly [parent: object, key: string];

function placesIn(value: object): Place[] {
  return Object.keys(value).flatMap((key): Place[] => {
    const member = (value as Record<string, unknown>)[key];
    return [[value, key], ...(typeof member === "object" && member !== null ? placesIn(member) : [])];
  });
}
