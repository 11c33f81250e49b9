import type { Case } from "./case.ts";

/** A CPU profile, as V8's inspector gives it: Node, Chromium and workerd alike. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  /** Ids of nodes, one a sample. */
  readonly samples?: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas?: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[];
}

/** Which room a function's own time belongs to; undefined: that of its caller. */
export type RoomOf = (functionName: string, url: string) => string | undefined;

/** One per command of the inspector's protocol. */
export type Send = (method: string, params?: object) => Promise<unknown>;

/** The profile of a run. */
export async function profiled(send: Send, run: () => Promise<unknown>): Promise<CpuProfile> {
  await send("Profiler.enable");
  await send("Profiler.setSamplingInterval", { interval: 100 });
  await send("Profiler.start");
  await run();
  return ((await send("Profiler.stop")) as { readonly profile: CpuProfile }).profile;
}

/** Where the time of a job goes, by rooms of the code: one profiled run, not held against anybody. */
export function profileCase(
  title: string,
  jobs: number,
  rooms: readonly string[],
  roomOf: RoomOf,
  run: () => Promise<CpuProfile>,
): Case {
  let times: Promise<ReadonlyMap<string, number>> | undefined;
  return {
    title,
    unit: "µs/job",
    rounds: 1,
    parts: true,
    contestants: rooms.map((name) => ({
      name,
      run: async () => {
        times ??= run().then((profile) => microsecondsByRoom(profile, roomOf));
        return ((await times).get(name) ?? 0) / jobs;
      },
    })),
  };
}

function microsecondsByRoom({ nodes, samples = [], timeDeltas = [] }: CpuProfile, roomOf: RoomOf): Map<string, number> {
  const rooms = new Map<number, string>();
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const roomOfNode = (id: number): string => {
    const known = rooms.get(id);
    if (known !== undefined) return known;
    const { functionName = "", url = "" } = byId.get(id)?.callFrame ?? {};
    const parent = parents.get(id);
    const room = roomOf(functionName, url) ?? (parent === undefined ? "" : roomOfNode(parent));
    rooms.set(id, room);
    return room;
  };
  const times = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const room = roomOfNode(id);
    times.set(room, (times.get(room) ?? 0) + (timeDeltas[index] ?? 0));
  }
  return times;
}
