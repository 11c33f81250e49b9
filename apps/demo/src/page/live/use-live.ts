import type { Change } from "@quayside/core/engine";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

/** The part of a `Queue` that is needed to keep up with it. */
export interface Watched {
  watch(listener: (change: Change) => void): () => void;
}

export interface Live<T> {
  /** What was loaded last; kept while newer is on its way, and when that fails. */
  readonly value: T | undefined;
  readonly error: unknown;
  readonly reload: () => void;
}

export interface LiveOptions {
  /** False: nothing is asked and nobody is listened to (no network, a hidden page). Default true. */
  readonly enabled?: boolean;
}

/** Changes come in bursts; a page need not be newer than this. */
const GATHER_MS = 80;

/**
 * Loads a value that depends on a queue, again after every change that the queue tells of. There is one request at a
 * time: changes that come meanwhile make one more.
 *
 * @param load may differ between drawings only when `key` does.
 */
export function useLive<T>(queue: Watched, key: string, load: () => Promise<T>, options: LiveOptions = {}): Live<T> {
  const { enabled = true } = options;
  const [state, setState] = useState<{ readonly value?: T; readonly error?: unknown }>({});
  const latest = useRef(load);
  latest.current = load;
  const ask = useRef<() => void>(() => {});

  // `key` stands for what `load` depends on.
  useEffect(() => {
    if (!enabled) return;
    let stopped = false;
    let busy = false;
    let again = false;
    let timer: ReturnType<typeof setTimeout> | undefined;

    const run = async () => {
      timer = undefined;
      busy = true;
      again = false;
      try {
        const value = await latest.current();
        if (!stopped) setState({ value });
      } catch (error) {
        if (!stopped) setState(({ value }) => ({ ...(value !== undefined && { value }), error }));
      }
      busy = false;
      if (again && !stopped) schedule();
    };
    const schedule = () => {
      if (busy) again = true;
      else timer ??= setTimeout(run, GATHER_MS);
    };

    ask.current = schedule;
    const unwatch = queue.watch(schedule);
    void run();
    return () => {
      stopped = true;
      clearTimeout(timer);
      unwatch();
    };
  }, [queue, key, enabled]);

  return { value: state.value, error: state.error, reload: useCallback(() => ask.current(), []) };
}
