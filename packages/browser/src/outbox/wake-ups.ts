/** What hints that the remote may be in reach again, or that time has passed unnoticed. Hints wake; they never gate. */
const SIGNS = ["online", "pageshow", "focus"] as const;

/** Calls back at every such hint. Returns the function that stops it. */
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
