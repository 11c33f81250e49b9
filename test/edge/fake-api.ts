import { type HttpDriver, type HttpDriverOptions, httpDriver } from "@quayside/core/http";
import { createManualClock } from "@quayside/testing";
import { expect, vi } from "vitest";

/** A request as it arrived, its path from the API's root on. */
export interface Sent {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  /** Its `Idempotency-Key`. */
  readonly key: string | undefined;
  readonly body: unknown;
}

export type Answer = (sent: Sent, init: RequestInit) => Response | Promise<Response>;

/** A driver whose server is a function. */
export function open(
  answer: Answer,
  options: Partial<HttpDriverOptions> = {},
): { readonly driver: HttpDriver; readonly sent: Sent[] } {
  const sent: Sent[] = [];
  const fetch = async (url: string, init: RequestInit) => {
    const headers = init.headers as Record<string, string>;
    const request = {
      method: init.method as string,
      path: url.slice("https://api.test/queues".length),
      authorization: headers["authorization"],
      key: headers["idempotency-key"],
      body: init.body === undefined ? undefined : JSON.parse(init.body as string),
    };
    sent.push(request);
    return answer(request, init);
  };
  return { driver: httpDriver({ url: "https://api.test/queues/", fetch, ...options }), sent };
}

/** Loads the code of exchanges, which a driver loads with its first one: where a clock is moved by hand, that takes no time. */
export async function loadExchanges(): Promise<void> {
  const { driver } = open(() => new Response(null, { status: 500 }));
  const claim = { limit: 0, queues: [{ queue: "mail" }] };
  const request = {
    worker: "w",
    liveness: "time",
    leaseMs: 1_000,
    exchange: 1,
    settle: [],
    running: [],
    claim,
  } as const;
  await driver.exchange(request).catch(() => {});
}

/** Longest run of a request, which has a timer too. */
const TIMEOUT_MS = 30_000;

/** A clock moved by hand that notes the pauses which the driver makes between its requests. */
export function pausing(start?: number) {
  const clock = createManualClock(start);
  const pauses: number[] = [];
  return {
    pauses,
    clock: {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      nextTask: () => clock.nextTask(),
      after(ms: number, run: () => void) {
        if (ms !== TIMEOUT_MS) pauses.push(ms);
        return clock.after(ms, run);
      },
    },
    /** Waits for the next pause, and lets it pass. */
    async pass(ms: number) {
      await vi.waitFor(() => expect(pauses).not.toEqual([]));
      expect(pauses.splice(0)).toEqual([ms]);
      await clock.advance(ms);
    },
  };
}
