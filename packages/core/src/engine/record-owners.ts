import { QuaysideError } from "../job/errors.ts";
import { getCell, kind, putCells } from "./cells.ts";
import type { Plugins } from "./plugin.ts";
import type { Program } from "./store.ts";

/** Names of the plugins that own records in a store (jobs, settings or values). */
export type RecordOwners = ReadonlySet<string>;

/** The record of these names. */
const OWNERS = kind<readonly string[]>("plugins");

/**
 * Reads which plugins own records in the store.
 *
 * @throws {QuaysideError} `storage_unavailable`, reason `missing_plugins`, if one of them is not in `plugins`: this
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

/** Adds plugins that own records. Returns all of them. */
export function* addOwners(known: RecordOwners, used: RecordOwners): Program<RecordOwners> {
  const fresh = [...used].filter((name) => !known.has(name));
  if (fresh.length === 0) return known;
  // Another page may have added some since the last read.
  const all = new Set([...((yield* getCell(OWNERS, "")) ?? []), ...fresh]);
  yield* putCells(OWNERS, [["", [...all].sort()]]);
  return all;
}
