import type { Driver } from "../engine/driver.ts";

/** Runs `drain`, which works the jobs that were added, before their add resolves. */
export type WorkInline = (drain: () => Promise<void>) => Promise<void>;

const inlineDrivers = new WeakMap<Driver, WorkInline>();

/** Marks a driver: what is added to it through a queue that has a handler runs before the add resolves. */
export function setInline(driver: Driver, work: WorkInline): void {
  inlineDrivers.set(driver, work);
}

export const inlineOf = (driver: Driver): WorkInline | undefined => inlineDrivers.get(driver);
