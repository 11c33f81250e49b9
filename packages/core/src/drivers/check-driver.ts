import type { Driver } from "../engine/driver.ts";
import { QuaysideError } from "../job/errors.ts";

/**
 * @param owner what the driver is for, as the message names it.
 * @throws {QuaysideError} `invalid_option` where it is missing or something else, such as a promise of one.
 */
export function checkDriver<D extends Driver>(driver: D, owner: string): D {
  if (typeof (driver as Partial<Driver> | null | undefined)?.exchange === "function") return driver;
  const got = driver && typeof driver === "object" ? Object.prototype.toString.call(driver) : typeof driver;
  throw new QuaysideError("invalid_option", `${owner} needs a driver, such as memoryDriver(), got ${got}.`, {
    option: "driver",
  });
}
