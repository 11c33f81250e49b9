/**
 * Shapes of the API's answers, as far as a client relies on them. A portal on the way may answer 200 with a page or with JSON
 * of its own. An answer of another shape is therefore a `network` error.
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

/** One receipt for each of `count` jobs. */
export const receiptsFor =
  (count: number) =>
  (value: unknown): boolean =>
    isList(value, (each) => isJob(each) && typeof (each as Fields)["deduplicated"] === "boolean") &&
    (value as readonly unknown[]).length === count;

/** The reply of an exchange with this queue. */
