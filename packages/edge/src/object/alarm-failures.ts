/**
 * Storage key of the number of failed alarms. Not in the queue's tables, because an alarm may fail because they cannot
 * be read. Exists only after a failed alarm.
 */
const KEY = "quayside:alarm-failures";

const FIRST_DELAY_MS = 10_000;
const LONGEST_DELAY_MS = 600_000;

/**
 * Counts how often the object's alarm has failed since it last succeeded. The count survives restarts of the object.
 */
export class AlarmFailures {
  readonly #storage: DurableObjectStorage;
  #count: number | undefined;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  /** Returns whether the last alarm failed. */
  async any(): Promise<boolean> {
    try {
      this.#count ??= (await this.#storage.get<number>(KEY)) ?? 0;
    } catch {
      // If the count cannot be read, the count in memory is used.
    }
    return (this.#count ?? 0) > 0;
  }

  /** Counts a failure. Returns the ms until the next try: 10 s, doubled each time, up to ten minutes. */
  async add(): Promise<number> {
    await this.any();
    const count = (this.#count ?? 0) + 1;
    this.#count = count;
    // Not awaited: written in the same transaction as the alarm. If storage refuses both, the alarm's error is
    // reported.
    this.#storage.put(KEY, count).catch(() => {});
    return Math.min(FIRST_DELAY_MS * 2 ** (count - 1), LONGEST_DELAY_MS);
  }

  /** Resets the count after a successful alarm. */
  async clear(): Promise<void> {
    if (await this.any()) await this.#storage.delete(KEY);
    this.#count = 0;
  }
}
