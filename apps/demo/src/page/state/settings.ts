import { Observable } from "./observable.ts";

/** The switches of the page. */
export interface Settings {
  /** Nothing gets through to the edge. */
  readonly offline: boolean;
  /** The first attempt of every resize fails. */
  readonly failFirst: boolean;
  /** Every step of a resize takes a moment, so that one can watch it. */
  readonly slow: boolean;
}

const KEY = "quayside-demo:settings";
const ALL_OFF: Settings = { offline: false, failFirst: false, slow: false };

/**
 * Kept across reloads and shared by all tabs: each of them works the queue, so a switch that only one knew would not
 * switch much.
 */
export const settings = new Observable<Settings>(read());

export function change(changed: Partial<Settings>): void {
  settings.set({ ...settings.value, ...changed });
  try {
    localStorage.setItem(KEY, JSON.stringify(settings.value));
  } catch {
    // Storage is switched off: then the setting lasts as long as this page.
  }
}

addEventListener("storage", ({ key }) => {
  if (key === KEY || key === null) settings.set(read());
});

function read(): Settings {
  try {
    return { ...ALL_OFF, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Settings>) };
  } catch {
    return ALL_OFF;
  }
}
