import fc from "fast-check";
import { garbage } from "./break.ts";

/** Bodies that are no JSON, or no text, or too much of either. */
export const rawBody: fc.Arbitrary<(value: unknown) => { readonly body: string | Uint8Array }> = fc.oneof(
  fc.nat(200).map((length) => (value: unknown) => ({ body: JSON.stringify(value).slice(0, length) })),
  fc.constantFrom("1e400", "-1e400", "1e-400", "123456789012345678901234567890", "01", "NaN", "'x'").map((number) => {
    return (value: unknown) => ({ body: JSON.stringify(value).replace(/\d+|"[^"]*"(?!:)/, number) });
  }),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => () => ({ body: bytes })),
  fc.uint8Array({ minLength: 1, maxLength: 4 }).map((bytes) => (value: unknown) => {
    const text = new TextEncoder().encode(JSON.stringify(value));
    const body = new Uint8Array([...text, ...bytes]);
    body.copyWithin(text.length >> 1, text.length);
    return { body };
  }),
  fc.constantFrom("[", '{"a":', '"', "").map((piece) => () => ({ body: piece.repeat(5_000) })),
  fc.constantFrom(100, 108, 109, 5_000).map((levels) => () => ({
    body: `{"name":"note","payload":${"[".repeat(levels)}${"]".repeat(levels)}}`,
  })),
);

/** @param names of the parameters that there are. */
export const wrongParameter = (names: readonly string[]) =>
  fc.tuple(
    fc.oneof(
      fc.constantFrom("state", "limit", "cursor", "tags", "name", "olderThan", "__proto__", "constructor", "x"),
      ...names.map((name) => fc.constant(name)),
    ),
    fc.oneof(
      fc.constantFrom("", "-1", "0", "1e3", "0x10", " 5", "1.5", "9".repeat(30), "null", "\u0000", "[]", "%5B%5D"),
      garbage.map((value) =>
        `${typeof value === "object" ? JSON.stringify(value) : value}`.slice(0, 400).toWellFormed(),
      ),
    ),
  );

export const percent = fc.constantFrom("", "", "&%", "?%zz=1", "&limit=%ff", "&=&&", "#x");

export const wrongSegment = fc.oneof(
  fc.constantFrom("%", "%zz", "%ff", "%c3", "%ed%a0%80", "%00", "%2F", "%252F", "%2e%2e", "..", ".", "", "__proto__"),
  fc.constantFrom("x".repeat(257), "ñ".repeat(500), "constructor", "jobs", "openapi.json", "health", "events", "%0a"),
  fc.string({ maxLength: 20, unit: "binary" }).map((text) => encodeURIComponent(text)),
);

/** Within what a header can carry. */
export const headerText = fc.oneof(
  fc.constantFrom('""', '"', '"a', 'a"b', '"a"; b=1', '"a", "b"', `"${"x".repeat(256)}"`, "a b", "\t", "text/plain"),
  fc.constantFrom("sender=a", "sender=a&number=1&digest=d", "sender=&number=x&digest=", "sender=a&sender=b", "%ff=%zz"),
  fc.string({ maxLength: 30 }).map((text) => text.trim()),
);
