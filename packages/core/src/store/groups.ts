import { blockedLane, queueOf } from "../job/place.ts";
import type { JobKey, StoredJob } from "../job/record.ts";
import { returned } from "../job/transitions.ts";
import { getCells, kind, putCells, removeCells } from "./cells.ts";
import { move } from "./door.ts";
import { scan, startingWith } from "./operations.ts";
import type { Held, Program } from "./store.ts";
import type { Turn } from "./turn.ts";

/** One string for a group of a queue. */
export const groupName = (queue: string, key: string): string => JSON.stringify([queue, key]);

const nameOfHeld = (held: Held): string | undefined => held.group && groupName(queueOf(held.key as JobKey), held.group);

/** How many jobs of each group run. */
export function countRunning(held: readonly Held[]): Map<string, number> {
  const running = new Map<string, number>();
  for (const entry of held) {
    const name = nameOfHeld(entry);
    if (name) running.set(name, (running.get(name) ?? 0) + 1);
  }
  return running;
}

/** The limits in force: the last ones given, 1 where none was. */
export function* limitsOf(queue: string, keys: readonly string[]): Program<Map<string, number>> {
  const cells = yield* getCells(kind("group", queue), keys);
  return new Map(keys.map((key, index) => [key, cells[index]?.limit ?? 1]));
}

/** Notes the limits that new jobs bring. Only a limit other than 1 takes a cell. A raised one may make room. */
export function* setLimits(
  turn: Turn,
  jobs: readonly { readonly queue: string; readonly group?: StoredJob["group"] }[],
): Program<void> {
  const byQueue = new Map<string, Map<string, number>>();
  for (const { queue, group } of jobs) {
    if (group?.limit === undefined) continue;
    const limits = byQueue.get(queue) ?? new Map<string, number>();
    byQueue.set(queue, limits.set(group.key, group.limit));
  }
  for (const [queue, limits] of byQueue) {
    const before = yield* limitsOf(queue, [...limits.keys()]);
    const changed = [...limits].filter(([key, limit]) => before.get(key) !== limit);
    yield* putCells(
      kind("group", queue),
      changed.filter(([, limit]) => limit !== 1).map(([key, limit]) => [key, { limit }] as const),
    );
    yield* removeCells(
      kind("group", queue),
      changed.filter(([, limit]) => limit === 1).map(([key]) => key),
    );
    for (const [key] of changed) turn.room(queue, key);
  }
}

/** Jobs of one group that come back at once, at most; more do when the next of them ends. */
const RETURN_STEP = 256;

/** Takes `limit − running` jobs of each group that may have room back to the places they had (R16). */
export function* returnToRoom(
  turn: Turn,
  rooms: readonly { readonly queue: string; readonly key: string }[],
): Program<void> {
  const leases = yield* turn.leases();
  const running = countRunning(leases.all().flatMap(({ held }) => held));
  for (const { queue, key } of new Map(rooms.map((room) => [groupName(room.queue, room.key), room])).values()) {
    const limit = (yield* limitsOf(queue, [key])).get(key) ?? 1;
    const room = limit - (running.get(groupName(queue, key)) ?? 0);
    const jobs = yield* scan(
      "jobs",
      startingWith("blocked", blockedLane(queue, "group", key)),
      Math.min(room, RETURN_STEP),
    );
    yield* move(
      turn,
      jobs.map((job) => ({ from: job.key, job: returned(job) })),
    );
  }
}
