// A process of its own that works queue `mail` of an API: `worker.ts URL TOKEN LEASE CONCURRENCY`. It tells its parent
// of each handler that starts and of each exchange as it went over the wire. A job whose payload is true does not end here
// until it is told to, and then tells why.
import type { Duration, QuaysideError } from "@quayside/core";
import { JobWorker } from "@quayside/core/engine";
import { httpDriver } from "@quayside/core/http";

export type Told =
  | { readonly started: string }
  | { readonly aborted: string; readonly code: string }
  | { readonly exchange: Exchanged };

/** `reply` is a problem where `status` is 409. */
export interface Exchanged {
  readonly status: number;
  readonly body: SentExchange;
  readonly reply: { readonly jobs?: readonly Claimed[]; readonly code?: string };
}

export interface SentExchange {
  readonly worker: string;
  readonly leaseMs: number;
  readonly exchange: number;
  readonly settle: readonly object[];
  readonly running: readonly string[];
}

export interface Claimed {
  readonly token: string;
  readonly job: { readonly id: string };
}

const [url, token, lease, concurrency] = process.argv.slice(2) as [string, string, Duration, string];
const tell = (what: Told) => process.send?.(what);

const worker = new JobWorker(
  httpDriver({
    url,
    token,
    fetch: async (address, init) => {
      const response = await fetch(address, init);
      if (address.endsWith("/exchange")) {
        const body = JSON.parse(init.body as string) as SentExchange;
        tell({
          exchange: { status: response.status, body, reply: (await response.clone().json()) as Exchanged["reply"] },
        });
      }
      return response;
    },
  }),
  {
    concurrency: Number(concurrency),
    lease,
    queues: [
      {
        name: "mail",
        run: async ({ id, payload }, { signal }) => {
          tell({ started: id });
          if (payload === true) {
            await new Promise((resolve) => signal.addEventListener("abort", resolve));
            tell({ aborted: id, code: (signal.reason as QuaysideError).code });
          }
          return `by ${process.pid}`;
        },
      },
    ],
  },
);
await worker.start();
