import { type Driver, type MemoryDriverOptions, memoryDriver } from "@quayside/core";
import { handlerScope, type StoreDriver, setInline } from "@quayside/core/engine";

/** The workers that work because a job was added, by what has them work. */
const working = new WeakSet<() => Promise<void>>();

/**
 * Works what was added. What a handler adds to a worker that is at work runs in the same go: it cannot wait for that.
 * Others wait, where the platform can tell them from a handler.
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
 * Marks a driver: a job added to it through a `Queue` or a `QueueManager` that has its handler runs before the add
 * resolves, through the real worker and the real rules. A job that fails is kept as it failed (`addJob` does not throw
 * its error); one that is delayed, or that is to be tried again later, waits as ever: see `drain`.
 *
 * @example
 * const queue = new Queue<Jobs>("mail", inline(memoryDriver({ clock })), { clock });
 */
export function inline<D extends Driver>(driver: D): D {
  setInline(driver, workInline);
  return driver;
}

/**
 * A driver in memory on which a job runs as it is added: for tests of code that adds jobs.
 *
 * @example
 * const queue = new Queue<Jobs>("mail", inlineDriver());
 * queue.on("job:email", send);
 * await signUp(queue);            // adds an email
 * expect(sent).toHaveLength(1);
 */
export const inlineDriver = (options: MemoryDriverOptions = {}): StoreDriver => inline(memoryDriver(options));
