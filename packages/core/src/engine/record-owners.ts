import { QuaysideError } from "../job/errors.ts";
import { getCell, kind, putCells } from "./cells.ts";
import type { Plugins } from "./plugin.ts";
import type { Program } from "./store.ts";

/** Names of the plugins that own records in a store (jobs, settings or values). */
export type RecordOwners = ReadonlySet<string>;

/** The stored list of the names of plugins that own records. */
const OWNERS = kind<readonly string[]>("plugins");

/**
 * Reads the names of the plugins that own records in the store.
 *
 * @throws {QuaysideError} `storage_unavailable`, reason `missing_plugins`, if one of them is not in `plugins`: the
 * driver would run the jobs without their limits, keys or parents.
 */
export function* readOwners(plugins: Plugins): Program<RecordOwners> {
  const names = (yield* getCell(OWNERS, "")) ?? [];
  const missing = names.filter((name) => !plugins.all.some((plugin) => plugin.name === name));
  if (missing.length === 0) return new Set(names);
  throw new QuaysideError(
    "storage_unavailable",
    `This store has records of plugins that this driver does not have. ${missing.map((name) => plugins.advice(name)).join(" ")}`,
    { reason: "missing_plugins", missing },
  );
}

/** Stores the names of further plugins that own records. Returns the names of all owners. */
export function* addOwners(known: RecordOwners, used: RecordOwners): Program<RecordOwners> {
  const fresh = [...used].filter((name) => !known.has(name));
  if (fresh.length === 0) return known;
  // Another page may have added some since the last read.
  const all = new Set([...((yield* getCell(OWNERS, "")) ?? []), ...fresh]);
  yield* putCells(OWNERS, [["", [...all].sort()]]);
  return all;
}
