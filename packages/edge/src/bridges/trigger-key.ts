/** Number of hex digits of the hash that ends the id of a trigger's job. */
const MARK_LENGTH = 8;

/** Prefix of the dedupe keys of jobs added by cron triggers. */
export const TRIGGER = "cron ";

/** Returns the id of a job that a trigger adds: its key and a hash of its payload (`mark`). */
export const markedId = (key: string, mark: string): string => `${key} ${mark.slice(0, MARK_LENGTH)}`;

/**
 * Returns whether a dedupe key was made for the job with this id: the key equals the id, or the id without its hash.
 * Called before the job is checked, so both values may have any type.
 */
export function isKeyOfId(key: string, id: string): boolean {
  if (key === id) return true;
  const start = `${key} `;
  const text = String(id);
  return start.startsWith(TRIGGER) && text.startsWith(start) && text.length === start.length + MARK_LENGTH;
}
