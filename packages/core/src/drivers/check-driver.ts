import type { Driver } from "../engine/driver.ts";
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
