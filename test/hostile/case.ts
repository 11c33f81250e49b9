import { isA, QuaysideError } from "@quayside/core";
import fc from "fast-check";
import { type HostileHome, MOST_READ, type OpenHome } from "./home.ts";

export const QUEUE = "mail";
/** A run says the same every time; another seed (HOSTILE_SEED) looks elsewhere. */
const SEED = 20_261_128;
/** Longest real time of one case: one that hangs fails, and says so. */
const WATCHDOG_MS = 20_000;

export interface HostileOptions {
  readonly open: OpenHome;
  readonly runs: number;
  readonly seed?: number | undefined;
}

/** A named property: what it says, and the check of it on a home. */
export interface HostileProperty {
  readonly name: string;
  readonly check: (options: HostileOptions) => Promise<void>;
}

export const property = <T>(
  name: string,
  inputs: fc.Arbitrary<T>,
  run: (home: HostileHome, input: T) => Promise<void>,
): HostileProperty => ({
  name,
  check: async ({ open, runs, seed = SEED }) => {
    console.info(`${name}: ${runs} cases, HOSTILE_SEED=${seed}`);
    await fc.assert(
      fc.asyncProperty(inputs, async (input) => {
        const home = await open();
        const stray: unknown[] = [];
        const deaf = hearStrays((reason) => stray.push(reason));
        try {
          await within(run(home, input).catch(readable), home.meter?.endless);
          same((await home.look()).violations, [], "violated invariants");
          await turn();
          same(stray.length, 0, "unhandled rejections");
        } finally {
          deaf();
          await within(home.close());
        }
      }),
      { numRuns: runs, seed },
    );
  },
});

/**
 * Checks that a refused call has a code and has left the records as they were.
 *
 * @param raw an error without a code will do: it is the caller's own, or the caller has types.
 */
export async function refusedOrDone<T>(home: HostileHome, run: () => Promise<T>, raw = false): Promise<T | undefined> {
  const { records } = await home.look();
  try {
    return await run();
  } catch (error) {
    same((await home.look()).records, records, "records after a refusal");
    if (!raw && !(error instanceof QuaysideError)) throw new Error(`Refused without a code: ${String(error)}`);
    return undefined;
  }
}

/** Checks that calls which only read leave the records as they were, but for tallies, and that a refused one has a code. */
export async function writesNothing(home: HostileHome, reads: readonly (() => Promise<unknown>)[]): Promise<void> {
  // What a read has counted may be stored: it is derived from the rest.
  const stored = async () => ({ ...JSON.parse((await home.look()).records), tallies: [] });
  const before = await stored();
  for (const read of reads)
    await read().catch((error: unknown) => {
      if (!(error instanceof QuaysideError)) throw new Error(`Refused without a code: ${String(error)}`);
    });
  same(await stored(), before, "records after reads");
}

/** Checks that a case has read no more than one call may: all of its calls together. */
export async function sparing<T>(home: HostileHome, run: () => Promise<T>): Promise<T> {
  const before = (await home.look()).read;
  const done = await run();
  const read = (await home.look()).read - before;
  if (read > MOST_READ) throw new Error(`The case read ${read} records.`);
  return done;
}

/** Steps of the clock: backoffs that a hostile value chose may be long, as long as anybody may ask for. */
const STEPS = [...Array(20).fill(2_000), 60_000, 3_600_000, 86_400_000, 366 * 86_400_000];

/** Moves the clock until all have ended; where a store answers late, for as long as a case may take. */
export async function ended(home: HostileHome, queue: Asked, ids: readonly string[]): Promise<void> {
  for (let step = 0; ; ) {
    const left = await unfinished(queue, ids);
    if (left.length === 0) return;
    // What runs has to be told of before much time passes: it would lose its lease.
    const active = left.some((one) => one.endsWith(" active"));
    if (step >= STEPS.length && home.prompt) throw new Error(`Jobs that have not ended: ${left}.`);
    await home.advance(active ? 100 : (STEPS[step++] ?? 86_400_000));
  }
}

interface Asked {
  list(query: { readonly limit: number }): Promise<{
    readonly jobs: readonly { readonly id: string; readonly name: string; readonly state: string }[];
  }>;
}

const ENDS = ["completed", "failed", "cancelled"];

async function unfinished(queue: Asked, ids: readonly string[]): Promise<string[]> {
  const { jobs } = await queue.list({ limit: 100 });
  return jobs.flatMap(({ id, name, state }) => (ids.includes(id) && !ENDS.includes(state) ? [`${name} ${state}`] : []));
}

export function same(told: unknown, expected: unknown, what: string): void {
  const [a, b] = [told, expected].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`${what}: ${a}, expected ${b}`);
}

async function within<T>(work: Promise<T>, ...ends: (Promise<never> | undefined)[]): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`The case hung for ${WATCHDOG_MS} ms.`)), WATCHDOG_MS);
  });
  try {
    return await Promise.race([work, late, ...ends.filter((end) => end !== undefined)]);
  } finally {
    if (timer !== undefined) clearTimeout(timer);
  }
}

/** Throws what was thrown; in place of a value that may not be printable, an `Error` that names its type. */
function readable(error: unknown): never {
  throw isA(Error, error) ? error : new Error(`Thrown: ${typeof error}`);
}

/** A macrotask: rejections that nobody handled are told of before it. */
const turn = () =>
  new Promise<void>((resolve) => {
    const { setImmediate } = globalThis as { setImmediate?: (run: () => void) => void };
    if (setImmediate) setImmediate(resolve);
    else setTimeout(resolve);
  });

/** Node, workerd and pages each tell in their own way of a rejection that nobody handles. */
function hearStrays(tell: (reason: unknown) => void): () => void {
  const { process, addEventListener, removeEventListener } = globalThis as unknown as {
    process?: {
      on?(name: string, listener: (reason: unknown) => void): unknown;
      off?(name: string, listener: (reason: unknown) => void): unknown;
    };
    addEventListener?(name: string, listener: (event: { reason: unknown }) => void): void;
    removeEventListener?(name: string, listener: (event: { reason: unknown }) => void): void;
  };
  if (addEventListener && removeEventListener) {
    const listener = ({ reason }: { reason: unknown }) => tell(reason);
    addEventListener("unhandledrejection", listener);
    return () => removeEventListener("unhandledrejection", listener);
  }
  process?.on?.("unhandledRejection", tell);
  return () => void process?.off?.("unhandledRejection", tell);
}
