/** Beside the queue's tables, which may be what cannot be read. There only after an alarm that failed. */
const KEY = "quayside:alarm-failures";

const FIRST_DELAY_MS = 10_000;
const LONGEST_DELAY_MS = 600_000;

/** How often the object's alarm has failed since it last succeeded, over all lives of the object. */
export class AlarmFailures {
  readonly #storage: DurableObjectStorage;
  #count: number | undefined;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  /** Whether the last alarm has failed. */
  async any(): Promise<boolean> {
    try {
      this.#count ??= (await this.#storage.get<number>(KEY)) ?? 0;
    } catch {
      // The count of this life has to do.
    }
    return (this.#count ?? 0) > 0;
  }

  /** Counts a failure. Resolves with the ms until the next try: 10 s, then twice that, up to ten minutes. */
  async add(): Promise<number> {
    await this.any();
    const count = (this.#count ?? 0) + 1;
    this.#count = count;
    // Not awaited: it is written with the alarm. A storage that refuses it refuses that, too, which is reported.
    this.#storage.put(KEY, count).catch(() => {});
    return Math.min(FIRST_DELAY_MS * 2 ** (count - 1), LONGEST_DELAY_MS);
  }

  /** An alarm has succeeded. */
  async clear(): Promise<void> {
    if (await this.any()) await this.#storage.delete(KEY);
    this.#count = 0;
  }
}
