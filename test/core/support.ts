import { type Driver, memoryDriver, Queue, type QueueOptions } from "@quayside/core";
import { MemoryStore, type StoreDriver } from "@quayside/core/engine";
import { createManualClock, type ManualClock } from "@quayside/testing";

/** An empty store in memory with a clock that is moved by hand. */
export function scene(): { clock: ManualClock; store: MemoryStore; driver: StoreDriver; another: () => StoreDriver } {
  const clock = createManualClock();
  const store = new MemoryStore();
  return { clock, store, driver: memoryDriver({ store, clock }), another: () => memoryDriver({ store, clock }) };
}

/** A queue named `mail` on an empty store. */
export function mailQueue(options: QueueOptions<Record<string, unknown>> & { driver?: Driver } = {}) {
  const { driver: given, ...rest } = options;
  const { clock, driver, another } = scene();
  const queue = new Queue("mail", given ?? driver, { clock, ...rest });
  return { clock, driver, another, queue };
}

/** What a promise that rejects rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<{ code?: string; message: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error & { code?: string };
  }
  throw new Error("It did not reject.");
}
