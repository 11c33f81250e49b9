import type { Plugin } from "@quayside/core";
import { after, blockedLane, blockOf, type Key, type Program, scanKeys, type Transaction } from "@quayside/core/engine";

/**
 * Maximum number of blocked job names in a queue's settings, because a row of the database holds at most 2 MB. When the
 * list is full, further names are found by searching the blocked jobs.
 */
const LISTED = 100;

/** Returns the plugin `unknownNames` with a limit on the list of blocked names. */
export function withListedNames(inner: Plugin): Plugin {
  return {
    ...inner,
    *beforeClaim(tx, claim) {
      const { queue, names } = claim;
      const { blockedNames = [], ...settings } = yield* tx.settings(queue);
      if (blockedNames.length < LISTED) return yield* inner.beforeClaim?.(tx, claim) ?? [];
      if ((yield* namesAside(queue, 1)).length === 0) return yield* tx.configure(queue, settings);
      const known = yield* names ? waiting(queue, names) : namesAside(queue, LISTED);
      if (known.length === 0) return;
      yield* tx.configure(queue, { ...settings, blockedNames: known });
      yield* inner.beforeClaim?.(tx, claim) ?? [];
      yield* tx.configure(queue, { ...settings, blockedNames: yield* namesAside(queue, LISTED) });
    },
    *claiming(claim) {
      const part = yield* inner.claiming?.(claim) ?? [];
      const finish = part?.finish?.bind(part);
      if (!part || !finish) return part;
      part.finish = function* (started, aside) {
        yield* finish(started, aside);
        yield* cut(claim.tx, claim.queue);
      };
      return part;
    },
  };
}

function* cut(tx: Transaction, queue: string): Program<void> {
  const settings = yield* tx.settings(queue);
  const { blockedNames = [] } = settings;
  if (blockedNames.length > LISTED)
    yield* tx.configure(queue, { ...settings, blockedNames: blockedNames.slice(0, LISTED) });
}

/** Returns those of the given names that have blocked jobs, with one index search per name. */
function* waiting(queue: string, names: readonly string[]): Program<readonly string[]> {
  const found: string[] = [];
  for (const name of names) {
    const prefix = ["blocked", blockedLane(queue, "name", name)] as const;
    if ((yield* scanKeys("jobs", { from: prefix, to: after(prefix) }, 1)).length > 0) found.push(name);
  }
  return found;
}

/** Returns the first names that have blocked jobs, with one index search per name. */
function* namesAside(queue: string, limit: number): Program<readonly string[]> {
  const names: string[] = [];
  const lane = blockedLane(queue, "name", "");
  let from: Key = ["blocked", lane];
  while (names.length < limit) {
    // Up to the character after the `/` that ends the lanes' prefix.
    const [key] = yield* scanKeys("jobs", { from, to: ["blocked", `${lane.slice(0, -1)}0`] }, 1);
    if (!key) break;
    names.push(blockOf(key)?.[1] ?? "");
    from = after(["blocked", key[1]]);
  }
  return names;
}
