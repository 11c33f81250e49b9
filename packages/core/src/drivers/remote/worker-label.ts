import type { Change } from "../../engine/store.ts";

/**
 * A worker's key is a secret: who has it speaks for the worker. Changes leave an object with a label in its place, the
 * first characters of a long random key, by which a worker recognises what it did itself.
 */
const LABEL_LENGTH = 6;
/** A key has so many characters besides, or it has no label. */
const SECRET_LENGTH = 10;
/** Never occurs in a key. */
const MARK = "…";

/** The label of a worker's key; undefined where a label would tell too much of it. */
export const labelOf = (worker: string): string | undefined =>
  worker.length >= LABEL_LENGTH + SECRET_LENGTH ? `${worker.slice(0, LABEL_LENGTH)}${MARK}` : undefined;

/** A key that is made of another one's hash and has the same label. */
export const spellWorker = (worker: string, hash: string): string =>
  `${labelOf(worker) === undefined ? "" : worker.slice(0, LABEL_LENGTH)}~${hash}`;

/** A change as it may leave the object. */
export function shown({ by, ...change }: Change): Change {
  const label = by?.endsWith(MARK) ? by : by && labelOf(by);
  return label === undefined || label === "" ? change : { ...change, by: label };
}
