/** Hex digits of the mark that ends the id of a job of a trigger. */
const MARK_LENGTH = 8;

/** The dedupe keys of jobs of cron triggers begin with it. */
export const TRIGGER = "cron ";

/** The id of a job of a trigger: its key, and a mark of its payload. */
export const markedId = (key: string, mark: string): string => `${key} ${mark.slice(0, MARK_LENGTH)}`;

/**
 * Whether a dedupe key names the same job as an id: it is the id, or the key of the trigger whose mark ends the id. Called
 * before the object has checked the job, so neither need be a text.
 */
export function isKeyOfId(key: string, id: string): boolean {
  if (key === id) return true;
  const start = `${key} `;
  const text = String(id);
  return start.startsWith(TRIGGER) && text.startsWith(start) && text.length === start.length + MARK_LENGTH;
}
