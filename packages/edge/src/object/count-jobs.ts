import {
  after,
  blockedLanes,
  compareKeys,
  escapePart,
  type Key,
  type Operation,
  type Program,
  type Range,
  readyLane,
  scanKeys,
  startingWith,
  type Transaction,
} from "@quayside/core/engine";

const ENDS = ["completed", "failed", "cancelled"] as const;
export const PLACES = ["ready", "blocked", ...ENDS] as const;
type Place = (typeof PLACES)[number];

/**
 * A range of a queue's jobs. `count` is undefined before the range is counted, and again after a write to the range.
 */
interface Page extends Range {
  readonly place: Place;
  count: number | undefined;
}

/** Maximum number of keys that one step reads (R32). */
const COUNT_STEP = 8_000;
/** Number of keys per page, small enough that one step can count several pages again. */
const PAGE = 2_000;

/**
 * Counts a queue's jobs in each place, page by page, in several transactions. Counts a page again after a write to it,
 * so that all counts are exact at the last step.
 */
export class PagedCount {
  readonly #queue: string;
  #pages: Page[];

  constructor(queue: string) {
    this.#queue = queue;
    const places: readonly (readonly [Place, Range])[] = [
      ["ready", startingWith("ready", readyLane(queue))],
      ["blocked", blockedLanes(queue)],
      ...ENDS.map((end) => [end, startingWith("finished", `${escapePart(queue)}/${end}`)] as const),
    ];
    this.#pages = places.map(([place, range]) => ({ place, ...range, count: undefined }));
  }

  /** Discards the counts of the pages to which an operation writes. Called for each write while the count runs. */
  heed(operation: Operation): void {
    if (operation.op === "get" || operation.op === "scan") return;
    if (operation.op === "deleteRange") {
      const { from, to } = operation;
      for (const page of this.#pages)
        if (compareKeys(page.from, to) < 0 && compareKeys(from, page.to) < 0) page.count = undefined;
      return;
    }
    const keys = operation.op === "put" ? operation.records.map(({ key }) => key as Key) : operation.keys;
    for (const key of keys) {
      const page = this.#pages.find(({ from, to }) => compareKeys(from, key) <= 0 && compareKeys(key, to) < 0);
      if (page) page.count = undefined;
    }
  }

  /** Counts some of the uncounted pages. Returns whether all pages are counted. */
  *step(): Program<boolean> {
    let left = COUNT_STEP;
    const pages: Page[] = [];
    for (const page of this.#pages) {
      let { from } = page;
      let { count } = page;
      while (count === undefined && left > 0) {
        const keys = yield* scanKeys("jobs", { from, to: page.to }, PAGE);
        left -= keys.length;
        const last = keys[PAGE - 1];
        if (!last) count = keys.length;
        else {
          const to = after(last);
          pages.push({ ...page, from, to, count: PAGE });
          from = to;
        }
      }
      pages.push({ ...page, from, count });
    }
    this.#pages = pages;
    return pages.every(({ count }) => count !== undefined);
  }

  /** Counts some pages. The last step stores the sums. Returns whether it was the last. */
  *learn(tx: Transaction): Program<boolean> {
    if (!(yield* this.step())) return false;
    for (const place of PLACES) {
      let sum = 0;
      for (const page of this.#pages) if (page.place === place) sum += page.count ?? 0;
      // biome-ignore lint/correctness/useYield: nothing is left to read
      yield* tx.tallied(this.#queue, place, function* () {
        return sum;
      });
    }
    return true;
  }
}
