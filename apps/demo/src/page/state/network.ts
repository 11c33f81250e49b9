import { Observable } from "./observable.ts";
import { settings } from "./settings.ts";

/** Whether there is any use in trying: the switch is not off, and the browser does not say that it is offline. */
export const online = new Observable(isOnline());

function isOnline(): boolean {
  // `onLine` is sure only when it is false.
  return !settings.value.offline && navigator.onLine !== false;
}

const look = () => online.set(isOnline());
settings.subscribe(look);
addEventListener("online", look);
addEventListener("offline", look);

/** Cuts what is under way when the switch goes off, as a network does that goes away. */
let cut = new AbortController();
settings.subscribe(({ offline }) => {
  if (!offline) return;
  cut.abort(new TypeError("The network went away"));
  cut = new AbortController();
});

/** Whether the edge answered when it was last asked. */
export const answering = new Observable(true);

/** The only way of this page to the edge: `fetch`, behind the switch. */
export async function fetchThroughSwitch(url: string, init: RequestInit = {}): Promise<Response> {
  if (settings.value.offline) throw new TypeError("There is no network");
  const signals = [cut.signal, ...(init.signal ? [init.signal] : [])];
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.any(signals) });
    answering.set(true);
    return response;
  } catch (error) {
    // Nobody's fault when we gave up ourselves.
    if (!init.signal?.aborted && online.value) answering.set(false);
    throw error;
  }
}
