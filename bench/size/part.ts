import { fileURLToPath } from "node:url";
import type { Case } from "../lib/case.ts";
import { versionsOf } from "../lib/versions.ts";
import { bundleSize } from "./bundle-size.ts";

/** What a page imports for an offline queue that it works itself. */
export const PAGE =
  'export { Queue, Worker } from "@quayside/core"; export { indexedDbDriver } from "@quayside/browser";';

/** What a page imports, from each. Peers do less: the least of theirs that is a stored queue. */
const IMPORTS: Readonly<Record<string, string>> = {
  Quayside: PAGE,
  "TanStack offline-transactions": 'export { startOfflineExecutor } from "@tanstack/offline-transactions";',
  "Workbox Queue": 'export { Queue } from "workbox-background-sync";',
  Dexie: 'export { Dexie } from "dexie";',
  idb: 'export { openDB } from "idb";',
};

export async function* cases(): AsyncGenerator<Case> {
  const folder = fileURLToPath(new URL("..", import.meta.url));
  yield {
    title: "what a page loads: Queue, Worker and indexedDbDriver",
    unit: "kB",
    rounds: 1,
    contestants: Object.entries(IMPORTS).map(([name, source]) => ({
      name,
      run: async () => (await bundleSize(source, folder)).gzip / 1_000,
    })),
    goals: [{ atMost: 12 }],
  };
}

export const versions = (): Record<string, string> =>
  versionsOf("@tanstack/offline-transactions", "workbox-background-sync", "dexie", "idb", "vite");
