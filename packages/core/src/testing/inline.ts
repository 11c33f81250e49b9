import type { Driver } from "../driver/driver.ts";
import { memoryDriver } from "../driver/memory-driver.ts";
import type { StoreDriver, StoreDriverOptions } from "../driver/store-driver.ts";
import { INLINE } from "../queue/inline.ts";

/**
 * Marks a driver: a job added to it through a `Queue` or a `QueueManager` that has its handler runs before the add
 * resolves, through the real worker and the real rules. A job that fails is kept as it failed (`addJob` does not throw
 * its error); one that is delayed, or that is to be tried again later, waits as ever: see `drain`.
 *
 * @example
 * const queue = new Queue<Jobs>("mail", inline(memoryDriver({ clock })), { clock });
 */
export function inline<D extends Driver>(driver: D): D {
  return Object.assign(driver, { [INLINE]: true });
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
export const inlineDriver = (options: StoreDriverOptions = {}): StoreDriver => inline(memoryDriver(options));
