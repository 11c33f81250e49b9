import type { Clock, Driver } from "@quayside/core";
import type { Program } from "@quayside/core/engine";

/** The part of a test runner that the suites use: vitest, or any runner with these three functions. */
export interface TestRunner {
  describe(name: string, define: () => void): void;
  it(name: string, run: () => Promise<void>): void;
  // The matchers of vitest and jest are alike and too many to declare.
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

/** The driver of one case, on empty records, and its clock. Created for every case. */
export interface DriverUnderTest {
  readonly driver: Driver;
  /** The clock for workers and queues of the test. It shows the same time as the store's clock. */
  readonly clock: Clock;
  /** Returns another driver on the same records, as a second tab or process would have. */
  another(): Promise<Driver>;
  /** Moves the wall clock, the monotonic clock and timers forward. */
  advance(ms: number): Promise<void>;
  /** Sets only the wall clock forward or (negative) back, as a user or a time server does. */
  jump(ms: number): Promise<void>;
  /** Runs a program on the records, to check the invariants. Absent if the test has no access to them (HTTP). */
  readonly transact?: (<T>(start: () => Program<T>) => Promise<T>) | undefined;
  close(): Promise<void>;
}

/** Creates the `DriverUnderTest` of a case. */
export type OpenDriver = () => Promise<DriverUnderTest>;
