/** Events after which the remote may be reachable again, or after which a suspended page continues. */
const SIGNS = ["online", "pageshow", "focus"] as const;

/** Calls `wake` at each of these events of the page. Returns a function that removes the listeners. */
export function onWakeUp(wake: () => void): () => void {
  const scope = globalThis as Partial<Pick<Window, "addEventListener" | "removeEventListener">>;
  const seen = () => {
    if (document.visibilityState === "visible") wake();
  };
  for (const sign of SIGNS) scope.addEventListener?.(sign, wake);
  if (typeof document !== "undefined") document.addEventListener("visibilitychange", seen);
  return () => {
    for (const sign of SIGNS) scope.removeEventListener?.(sign, wake);
    if (typeof document !== "undefined") document.removeEventListener("visibilitychange", seen);
  };
}
