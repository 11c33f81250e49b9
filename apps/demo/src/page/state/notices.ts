import { Observable } from "./observable.ts";

export interface Notice {
  readonly id: number;
  readonly text: string;
}

/** What went wrong beside the jobs, until somebody has read it. */
export const notices = new Observable<readonly Notice[]>([]);

let lastId = 0;
const MOST = 3;

export function notify(text: string): void {
  const others = notices.value.filter((notice) => notice.text !== text);
  notices.set([...others, { id: ++lastId, text }].slice(-MOST));
}

export function dismiss(id: number): void {
  notices.set(notices.value.filter((notice) => notice.id !== id));
}
