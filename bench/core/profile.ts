import { Session } from "node:inspector/promises";
import type { Case } from "../lib/case.ts";
import { profileCase, profiled, type Send } from "../lib/profile.ts";
import { quayside } from "./contestants.ts";

const JOBS = 100_000;

/** Rooms of core, and how their files are found. */
const ROOMS: Readonly<Record<string, string>> = {
  "core/engine: the rules, as programs": "/core/src/engine/",
  "core/job: records, options, retry policy": "/core/src/job/",
  "core/attempt: handlers, settlements, reports": "/core/src/attempt/",
  "core/worker: claims, exchanges, leases": "/core/src/worker/",
  "core/queue: the add, and the way to the handler": "/core/src/queue/",
  "core/drivers": "/core/src/drivers/",
};
const GARBAGE = "garbage collection";
const REST = "the rest: Node, and the benchmark itself";

function roomOf(functionName: string, url: string): string | undefined {
  if (functionName === "(garbage collector)") return GARBAGE;
  const [room] = Object.entries(ROOMS).find(([, folder]) => url.includes(folder)) ?? [];
  // What the engine itself offers (`sort`, `JSON.parse`) belongs to whoever calls it.
  return room ?? (url !== "" || functionName === "(root)" ? REST : undefined);
}

/** Compiled before it is profiled. */
export const whereTimeGoes = (): Case =>
  profileCase(
    "where the time of a job goes, added and worked 100 at a time, in memory",
    JOBS,
    [...Object.keys(ROOMS), GARBAGE, REST],
    roomOf,
    async () => {
      await quayside(JOBS, 100);
      const session = new Session();
      session.connect();
      try {
        const send: Send = (method, params) => session.post(method as "Profiler.enable", params as never);
        return await profiled(send, () => quayside(JOBS, 100));
      } finally {
        session.disconnect();
      }
    },
  );
