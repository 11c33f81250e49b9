import { type Driver, type MemoryDriverOptions, memoryDriver } from "@quayside/core";
import { handlerScope, type StoreDriver, setInline } from "@quayside/core/engine";

/** The `drain` functions that run now because a job was added. */
const working = new WeakSet<() => Promise<void>>();

/**
 * Works the jobs that were added. A job that a handler adds to its own worker runs in the same `drain`, because the
 * handler cannot wait for it. Other callers wait, on platforms that can distinguish them from a handler.
 */
async function workInline(drain: () => Promise<void>): Promise<void> {
  const first = !working.has(drain);
  if (!first && (!handlerScope.follows || handlerScope.current())) return;
  working.add(drain);
  try {
    await drain();
  } finally {
    if (first) working.delete(drain);
  }
}

/**
 * Makes a driver run jobs before their add resolves, if they are added through a `Queue` or `QueueManager` with a
 * handler. They run in the real worker by the real rules. A failed job is kept as failed (`addJob` does not throw its
 * error); a delayed job, or one to be retried, waits as usual: see `drain`.
 *
 * @example
 * const queue = new Queue<Jobs>("mail", inline(memoryDriver({ clock })));
 */
export function inline<D extends Driver>(driver: D): D {
  setInline(driver, workInline);
  return driver;
}

/**
 * Creates a driver in memory that runs jobs before their add resolves, for tests of code that adds jobs.
 *
 * @example
 * const queue = new Queue<Jobs>("mail", inlineDriver());
 * queue.on("job:email", send);
 * await signUp(queue);            // adds an email
 * expect(sent).toHaveLength(1);
 */
export const inlineDriver = (options: MemoryDriverOptions = {}): StoreDriver => inline(memoryDriver(options));
