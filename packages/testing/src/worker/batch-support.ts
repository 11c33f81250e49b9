import type { BatchJob, Driver, Queue } from "@quayside/core";
import type { ExchangeReply } from "@quayside/core/engine";
import { type Gate, gate, next, wrap } from "./support.ts";

export const many = (count: number, options: object = {}) =>
  Array.from({ length: count }, (_, payload) => ({ name: "index", payload, ...options }));

/** Registers a batch handler that records its calls, and returns the payloads of each. */
export function record(
  mail: Queue,
  size: number,
  wait: number,
  handle: (jobs: readonly BatchJob[]) => void = () => {},
) {
  const calls: unknown[][] = [];
  mail.onBatch("job:index", { size, wait }, (jobs) => {
    calls.push(jobs.map(({ payload }) => payload));
    handle(jobs);
  });
  return calls;
}

/** Returns the driver, and the first reply to a claim of a batch that is not complete but has jobs. */
export function awaitIncomplete(driver: Driver): {
  readonly driver: Driver;
  readonly incomplete: Promise<ExchangeReply>;
} {
  const seen: Gate<ExchangeReply> = gate();
  return {
    incomplete: seen.opened,
    driver: wrap(driver, {
      async exchange(request) {
        const reply = await driver.exchange(request);
        if (request.claim.queues[0]?.batch && (reply.nextWakeMs ?? 0) > 0) seen.open(reply);
        return reply;
      },
    }),
  };
}

/** Returns the code of the error that a call throws. */
export function thrownBy(call: () => unknown): unknown {
  try {
    call();
    return undefined;
  } catch (error) {
    return (error as { readonly code?: string | undefined }).code;
  }
}

/** Resolves when this number of jobs have completed. */
export function completions(mail: Queue, count: number): Promise<unknown> {
  let left = count;
  return next(mail, "completed", () => --left === 0);
}
