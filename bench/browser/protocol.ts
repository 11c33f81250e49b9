/** Who is measured in the page. `raw`: idb and the least that could work. */
export type ContestantName = "Quayside" | "Workbox" | "TanStack" | "Dexie" | "raw";

/** One run in the page: plain data, so that whatever drives a browser can ask for it. */
export type Run = { readonly contestant: ContestantName } & (
  | { readonly measure: "addOneByOne" | "addAtOnce" | "addBulk"; readonly jobs: number }
  | { readonly measure: "work"; readonly jobs: number; readonly concurrency: number }
  /** `waiting`: jobs in the same queue that are not due yet. */
  | { readonly measure: "pickUp"; readonly adds: number; readonly percentile: number; readonly waiting?: number }
  | { readonly measure: "depth"; readonly shallow: number; readonly deep: number; readonly jobs: number }
);

/** What the page has as `globalThis.bench`. */
export interface BenchPage {
  /** What the engine calls itself. */
  agent(): string;
  /** Jobs a second, milliseconds or a ratio, as the case has it. Starts from no databases and leaves none. */
  run(run: Run): Promise<number>;
}
