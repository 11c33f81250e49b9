/** Hex digits of the mark that ends the id of a job of a trigger. */
const MARK_LENGTH = 8;

/** The dedupe keys of jobs of cron triggers begin with it. */
export const TRIGGER = "cron ";

/** The id of a job of a trigger: its key, and a mark of its payload. */
export const markedId = (key: string, mark: string): string => `${key} ${mark.slice(0, MARK_LENGTH)}`;

/** Whether a dedupe key names the same job as an id: it is the id, or the key of the trigger whose mark ends the id. */
export const isKeyOfId = (key: string, id: string): boolean =>
  id === key || (key.startsWith(TRIGGER) && id.startsWith(`${key} `) && id.length === key.length + 1 + MARK_LENGTH);
