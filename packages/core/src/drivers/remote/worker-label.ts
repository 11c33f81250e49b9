import type { Change } from "../../engine/store.ts";

/**
 * Number of characters of a worker's label: the first characters of its key. A worker's key is a secret. Changes that
 * leave an object have the label in its place, by which a worker recognises its own changes.
 */
const LABEL_LENGTH = 6;
/** Minimum number of characters that a key must have after its label. A shorter key has no label. */
const SECRET_LENGTH = 10;
/** The last character of a label. It never occurs in a key. */
const MARK = "…";

/** Returns the label of a worker's key; undefined if the key is so short that the label would reveal it. */
export const labelOf = (worker: string): string | undefined =>
  worker.length >= LABEL_LENGTH + SECRET_LENGTH ? `${worker.slice(0, LABEL_LENGTH)}${MARK}` : undefined;

/** Returns a worker key with the label of `worker`, and a hash in place of the secret part. */
export const spellWorker = (worker: string, hash: string): string =>
  `${labelOf(worker) === undefined ? "" : worker.slice(0, LABEL_LENGTH)}~${hash}`;

/** Returns a change as it may leave the object: with the worker's label in place of its key. */
export function shown({ by, ...change }: Change): Change {
  const label = by?.endsWith(MARK) ? by : by && labelOf(by);
  return label === undefined || label === "" ? change : { ...change, by: label };
}
