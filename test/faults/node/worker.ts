// A process of its own that works queue `mail` of an API: `worker.ts URL TOKEN LEASE CONCURRENCY`. It tells its parent
// of each handler that starts and of each exchange as it went over the wire. A job whose payload is true never ends here.
import { type Duration, Worker } from "@quayside/core";
import { httpDriver } from "@quayside/edge/client";

export type Told =
  | { readonly started: string }
  | { readonly exchange: { readonly body: SentExchange; readonly reply: { readonly jobs: readonly Claimed[] } } };

export interface SentExchange {
  readonly worker: string;
  readonly leaseMs: number;
  readonly exchange: number;
}

export interface Claimed {
  readonly token: string;
  readonly job: { readonly id: string };
}

const [url, token, lease, concurrency] = process.argv.slice(2) as [string, string, Duration, string];
const tell = (what: Told) => process.send?.(what);

const worker = new Worker(
  httpDriver({
    url,
    token,
    fetch: async (address, init) => {
      const response = await fetch(address, init);
      if (address.endsWith("/exchange")) {
        const body = JSON.parse(init.body as string) as SentExchange;
        tell({ exchange: { body, reply: (await response.clone().json()) as { jobs: readonly Claimed[] } } });
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
        run: async ({ id, payload }) => {
          tell({ started: id });
          if (payload === true) await new Promise(() => {});
          return `by ${process.pid}`;
        },
      },
    ],
  },
);
await worker.start();
