import {
  indexedDbDriver,
  liveCounts,
  liveJobs,
  type OutboxEvents,
  type OutboxState,
  outboxDriver,
} from "@quayside/browser";
import { type JobCounts, Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";

/** What the tests of the outbox call from outside. */
export interface OutboxTab {
  /** Adds jobs numbered `from` … `from + count - 1`, some at once, some one after the other. */
  add(count: number, from: number): Promise<void>;
  state(): Promise<OutboxState>;
  counts(): Promise<JobCounts>;
  /** The states of `liveCounts` and of the live list of completed jobs so far, as JSON. */
  live(): { readonly counts: readonly string[]; readonly completed: readonly string[] };
  /** Resolves when an attempt to forward has failed after this call. */
  failed(): Promise<void>;
  /** Resolves when nothing is left to deliver. */
  delivered(): Promise<void>;
  /** The token to send from now on; empty: nobody is signed in. */
  signIn(token: string): void;
  /** Called after a user has signed in, or by a button. */
  forward(): void;
  /** Names of the events so far, with what their error says. */
  events(): readonly { readonly name: keyof OutboxEvents; readonly message?: string }[];
}

declare global {
  interface Window {
    outbox: OutboxTab;
  }
}

const space = new URLSearchParams(location.search).get("space");
let token = "token-all";
const driver = outboxDriver({
  local: indexedDbDriver({ name: `outbox-${space}` }),
  remote: httpDriver({ url: `/spaces/${space}/api`, token: async () => token }),
});
const mail = new Queue<{ email: number }>("mail", driver);

const events: { name: keyof OutboxEvents; message?: string }[] = [];
for (const name of ["forwarded", "refused", "error", "paused", "resumed", "elsewhere"] as const) {
  driver.on(name, (event) => {
    const { error } = event as { readonly error?: { readonly message?: string } };
    events.push({ name, ...(error?.message !== undefined && { message: error.message }) });
  });
}

let seen: ReturnType<OutboxTab["live"]> | undefined;

window.outbox = {
  signIn(next) {
    token = next;
  },
  forward: () => driver.forward(),
  events: () => events,
  async add(count, from) {
    const end = from + count;
    for (let next = from; next < end; ) {
      const together = Math.min(1 + (next % 70), end - next);
      await Promise.all(Array.from({ length: together }, (_, index) => mail.addJob("email", next + index)));
      next += together;
    }
  },
  state: () => driver.state(),
  counts: () => mail.counts(),
  live() {
    if (!seen) {
      const now = { counts: [] as string[], completed: [] as string[] };
      seen = now;
      liveCounts(mail).subscribe((state) => void now.counts.push(JSON.stringify(state)));
      liveJobs(mail, { state: "completed" }).subscribe((state) => void now.completed.push(JSON.stringify(state)));
    }
    return seen;
  },
  failed: () =>
    new Promise((resolve) => {
      const off = driver.on("error", () => {
        off();
        resolve();
      });
    }),
  delivered: () =>
    new Promise((resolve) => {
      const look = async () => {
        if ((await driver.state()).pending > 0) return;
        stop();
        resolve();
      };
      const stop = driver.watch(() => void look());
      void look();
    }),
};
