import type { Driver } from "../driver/driver.ts";

/** Marks a driver on which a job runs as it is added: see `inline` in `@quayside/core/testing`. */
export const INLINE: unique symbol = Symbol.for("quayside.inline");

export const isInline = (driver: Driver): boolean => INLINE in driver;

/** Drivers whose jobs are just being worked because one was added. */
const working = new WeakSet<Driver>();

/** On an inline driver, works what was added. What handlers add meanwhile runs in the same go. */
export async function workInline(driver: Driver, drain: () => Promise<void>): Promise<void> {
  if (!isInline(driver) || working.has(driver)) return;
  working.add(driver);
  try {
    await drain();
  } finally {
    working.delete(driver);
  }
}
