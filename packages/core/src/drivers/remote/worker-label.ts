import type { Change } from "../../engine/store.ts";

/**
 * Length of a worker's label, the first characters of its key. A worker's key is a secret; changes that leave an object
 * have the label, by which a worker recognises its own changes.
 */
const LABEL_LENGTH = 6;
/** Minimum number of other characters of a key that has a label. */
const SECRET_LENGTH = 10;
/** Ends a label. Never occurs in a key. */
const MARK = "…";

/** Returns the label of a worker's key; undefined if the key is so short that the label would reveal it. */
export const labelOf = (worker: string): string | undefined =>
  worker.length >= LABEL_LENGTH + SECRET_LENGTH ? `${worker.slice(0, LABEL_LENGTH)}${MARK}` : undefined;

/** Returns a key that is made of another key's hash and has the same label. */
export const spellWorker = (worker: string, hash: string): string =>
  `${labelOf(worker) === undefined ? "" : worker.slice(0, LABEL_LENGTH)}~${hash}`;

/** Returns a change without the worker's key, as it may leave the object. */
export function shown({ by, ...change }: Change): Change {
  const label = by?.endsWith(MARK) ? by : by && labelOf(by);
  return label === undefined || label === "" ? change : { ...change, by: label };
}
