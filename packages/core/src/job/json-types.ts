import type { Json } from "./json.ts";

/** The type of a value that JSON cannot hold, in a compiler error. No value has this type. */
export interface NotJson<What extends string> {
  readonly "JSON cannot hold": What;
}

// biome-ignore lint/suspicious/noConfusingVoidType: the payload type of a job without payload may be `void`.
type Nothing = undefined | void;
type Callable = (...args: never) => unknown;
/** A value that says how it is stored, such as a Date. */
interface WithJson<Stored = unknown> {
  toJSON(key?: never): Stored;
}
/** A Map, a Set or a promise, whose contents `JSON.stringify` drops. */
type Opaque = { readonly size: number; readonly [Symbol.iterator]: unknown } | { readonly then: unknown };

/**
 * The type `T` if JSON can hold its values; otherwise `T` with `NotJson` in place of each member that JSON would lose:
 * functions, symbols, bigints, maps, sets and promises. A Date is allowed: JSON holds it as a text.
 */
export type JsonInput<T> = unknown extends T ? T : [T] extends [Held<T>] ? T : Held<T>;

type Held<T> = unknown extends T
  ? T
  : T extends Json | Nothing | WithJson
    ? T
    : T extends Callable
      ? NotJson<"a function">
      : T extends symbol | bigint
        ? NotJson<"a symbol or a bigint">
        : T extends Opaque
          ? NotJson<"a Map, a Set or a promise">
          : { [Key in keyof T]: Held<T[Key]> };

/**
 * The type of a value of type `T` that was stored as JSON and read again: a Date is a text, an object with `toJSON` what
 * that returns, and a top-level `undefined` is null.
 */
export type Jsonify<T> = unknown extends T ? T : [T] extends [Nothing] ? null : Kept<T>;

type Kept<T> = [T] extends [Parsed<T>] ? T : Parsed<T>;

type Parsed<T> = unknown extends T
  ? T
  : T extends Json | Nothing
    ? T
    : T extends WithJson<infer Stored>
      ? Parsed<Stored>
      : T extends Callable | symbol | bigint | Opaque
        ? never
        : { [Key in keyof T]: Parsed<T[Key]> };
