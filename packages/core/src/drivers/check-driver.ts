import type { Driver } from "../engine/driver.ts";
import type { Plugins } from "../engine/plugin.ts";
import { QuaysideError } from "../job/errors.ts";

/**
 * Checks that a value is a driver, and returns it.
 *
 * @param owner the name of the object that uses the driver, for the error message.
 * @throws {QuaysideError} `invalid_option` if it is not a driver, for example a promise of one.
 */
export function checkDriver<D extends Driver>(driver: D, owner: string): D {
  if (typeof (driver as Partial<Driver> | null | undefined)?.exchange === "function") return driver;
  const got =
    typeof driver === "function"
      ? `the function ${(driver as { readonly name: string }).name}: call it`
      : driver && typeof driver === "object"
        ? Object.prototype.toString.call(driver)
        : typeof driver;
  throw new QuaysideError("invalid_option", `${owner} needs a driver, such as memoryDriver(), got ${got}.`, {
    option: "driver",
  });
}

/** Returns the plugins of a driver that has its store in this process; undefined for any other driver. */
export const pluginsOf = (driver: object | null | undefined): Plugins | undefined =>
  (driver as { readonly plugins?: Plugins | undefined } | null | undefined)?.plugins;
