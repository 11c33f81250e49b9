/**
 * Checks of the API's responses. A captive portal may answer 200 with HTML or other JSON, so a response of another
 * shape is a `network` error.
 */

type Fields = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const isList = (value: unknown, isItem: (item: unknown) => boolean): boolean =>
  Array.isArray(value) && value.every(isItem);

export const isJob = (value: unknown): boolean => isObject(value) && typeof value["id"] === "string";

export const isJobPage = (value: unknown): boolean => isObject(value) && isList(value["jobs"], isJob);

export const isCounts = (value: unknown): boolean => isObject(value) && typeof value["waiting"] === "number";

export const isSchedules = (value: unknown): boolean => isList(value, isObject);

export const isNextWake = (value: unknown): boolean =>
  isObject(value) && (value["nextWakeMs"] === null || typeof value["nextWakeMs"] === "number");

/** Returns a function that checks whether a response is a list of `count` receipts. */
export const receiptsFor =
  (count: number) =>
  (value: unknown): boolean =>
    isList(value, (each) => isJob(each) && typeof (each as Fields)["deduplicated"] === "boolean") &&
    (value as readonly unknown[]).length === count;

/** Checks the reply of an exchange with this queue. */
