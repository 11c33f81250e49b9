import type { Clock, Driver } from "@quayside/core";
import type { Program } from "@quayside/core/engine";

/** The part of a test runner that the suites use: vitest, or anything that has these three. */
export interface TestRunner {
  describe(name: string, define: () => void): void;
  it(name: string, run: () => Promise<void>): void;
  // The matchers of vitest and jest are alike and too many to restate.
  readonly expect: (value: unknown, message?: string) => Matchers;
}

/** The assertions that the suites use. */
export interface Matchers {
  toBe(expected: unknown): void;
  toEqual(expected: unknown): void;
  toMatchObject(expected: object): void;
  toHaveLength(length: number): void;
  toContain(item: unknown): void;
  toBeUndefined(): void;
  toBeDefined(): void;
  toBeGreaterThan(least: number): void;
  toBeGreaterThanOrEqual(least: number): void;
  toBeLessThanOrEqual(most: number): void;
  readonly not: Matchers;
  readonly rejects: {
    toMatchObject(expected: object): Promise<void>;
    toThrow(pattern?: RegExp | string): Promise<void>;
  };
  readonly resolves: { toEqual(expected: unknown): Promise<void>; toMatchObject(expected: object): Promise<void> };
}

/** One empty set of records and the drivers that work on it. Opened afresh for every case. */
export interface DriverUnderTest {
  readonly driver: Driver;
  /** The clock that `Worker`s and `Queue`s of the test use: the same instants as the store's. */
  readonly clock: Clock;
  /** Another driver on the same records, as another tab or process would have. */
  another(): Promise<Driver>;
  /** Moves time forward: wall clock, monotonic clock and timers. */
  advance(ms: number): Promise<void>;
  /** Sets the wall clock forward or back (negative) and nothing else, as a user or a time server does. */
  jump(ms: number): Promise<void>;
  /** Runs a program on the records themselves, to check the invariants; absent where no test can reach them (HTTP). */
  readonly transact?: <T>(start: () => Program<T>) => Promise<T>;
  close(): Promise<void>;
}

/** Makes the `DriverUnderTest` of a case. */
export type OpenDriver = () => Promise<DriverUnderTest>;
