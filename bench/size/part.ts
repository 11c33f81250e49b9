import type { Case } from "../lib/case.ts";
import { versionsOf } from "../lib/versions.ts";
import { type BundleSize, bundleSize } from "./bundle-size.ts";

/** The imports of a page with an offline queue that it works itself. */
export const PAGE =
  'export { Queue, QueueWorker } from "@quayside/core"; export { indexedDbDriver } from "@quayside/browser";';

/** The same of the presets without plugins. */
export const MINI =
  'export { Queue, QueueWorker } from "@quayside/core/mini"; export { indexedDbDriver } from "@quayside/browser/mini";';

/** The imports of a page, by project. Peers do less: the smallest part of each that is a stored queue. */
const IMPORTS: Readonly<Record<string, string>> = {
  Quayside: PAGE,
  "TanStack offline-transactions": 'export { startOfflineExecutor } from "@tanstack/offline-transactions";',
  "Workbox Queue": 'export { Queue } from "workbox-background-sync";',
  Dexie: 'export { Dexie } from "dexie";',
  idb: 'export { openDB } from "idb";',
};

export async function* cases(): AsyncGenerator<Case> {
  yield {
    title: "what a page loads: Queue, QueueWorker and indexedDbDriver",
    unit: "kB",
    rounds: 1,
    contestants: Object.entries(IMPORTS).map(([name, source]) => ({
      name,
      run: async () => (await bundleSize(source)).gzip / 1_000,
    })),
    goals: [{ atMost: 12 }],
  };
  const whole = await bundleSize(PAGE);
  yield {
    title: "where its bytes are, by share of the code",
    unit: "kB",
    rounds: 1,
    parts: true,
    contestants: Object.entries(FOLDERS).map(([name, folder]) => ({
      name,
      run: () => (shareOf(whole, folder) * whole.gzip) / 1_000,
    })),
  };
  const left = async (without: readonly string[]) => (await bundleSize(PAGE, { without })).gzip / 1_000;
  yield {
    title: "how large it would be, if a capability could be left out",
    unit: "kB",
    rounds: 1,
    parts: true,
    contestants: [
      { name: "with all of them", run: () => left([]) },
      ...Object.entries(CAPABILITIES).map(([name, modules]) => ({ name: `without ${name}`, run: () => left(modules) })),
      { name: "without any of these", run: () => left(Object.values(CAPABILITIES).flat()) },
    ],
  };
}

/** Capabilities, each with the modules that serve it alone. */
const CAPABILITIES: Readonly<Record<string, readonly string[]>> = {
  "flows: parents and children": ["plugins/flow-plan.ts", "plugins/flows.ts", "queue/flow-builder.ts"],
  recurrences: ["plugins/recurrences.ts", "job/next-occurrence.ts"],
  "dedupe, groups, rate limits": ["plugins/dedupe.ts", "plugins/groups.ts", "plugins/rate-limit.ts"],
  "commands: cancel, retry, update, clear, pause, configure …": ["engine/kernel-commands.ts", "queue/queue-control.ts"],
  "inspection: lists, counts, waitFor": ["engine/list-jobs.ts", "engine/read-queue.ts", "queue/wait-for.ts"],
  metrics: ["queue/metrics.ts"],
  "jobs that need the network": ["attempt/network-requirement.ts"],
  "leading tabs, cross-tab events, pages put aside": [
    "tabs/leadership.ts",
    "idb/change-announcements.ts",
    "tabs/worker-activity.ts",
  ],
  "fluent jobs, middleware, hooks, marks, jobs run here": [
    "queue/job-builder.ts",
    "plugins/idempotency.ts",
    "queue/run-immediately.ts",
  ],
};

/** Parts of a page's bundle. */
const FOLDERS: Readonly<Record<string, string>> = {
  "core/engine: the kernel, as programs": "/core/src/engine/",
  "core/plugins: capabilities": "/core/src/plugins/",
  "core/job: records, options, retry policy": "/core/src/job/",
  "core/attempt: handlers, settlements, reports, events": "/core/src/attempt/",
  "core/worker: states, exchanges, claims": "/core/src/worker/",
  "core/queue: Queue and what it is made of": "/core/src/queue/",
  "core/drivers": "/core/src/drivers/",
  "browser: IndexedDB, locks, tabs, network": "/browser/src/",
};

function shareOf({ shares }: BundleSize, folder: string): number {
  return [...shares].reduce((sum, [id, share]) => (id.includes(folder) ? sum + share : sum), 0);
}

export const versions = (): Record<string, string> =>
  versionsOf("@tanstack/offline-transactions", "workbox-background-sync", "dexie", "idb", "vite");
