import type { Case } from "../lib/case.ts";
import { type CpuProfile, profileCase, profiled, type Send } from "../lib/profile.ts";
import { BenchObject } from "./objects.ts";
import { startWorkerd } from "./workerd.ts";

const JOBS = 20_000;
const WAITING = "waiting for the disk: one sync a claim";
const SQL = "SQLite: statements, rows read";
const GARBAGE = "garbage collection";
const OWN = "Quayside's own code";

function roomOf(functionName: string, url: string): string | undefined {
  switch (functionName) {
    case "(idle)":
      return WAITING;
    case "(garbage collector)":
      return GARBAGE;
    // Methods of the runtime's database and of its cursors.
    case "exec":
    case "next":
    case "transactionSync":
      if (url === "") return SQL;
  }
  return url !== "" || functionName.startsWith("(") ? OWN : undefined;
}

export const whereTimeGoes = (): Case =>
  profileCase(
    "where the time of a job goes, worked 1,000 at a time in the object",
    JOBS,
    [WAITING, SQL, GARBAGE, OWN],
    roomOf,
    profile,
  );

/** In a runtime of its own: one that is profiled is slower. */
async function profile(): Promise<CpuProfile> {
  const { url, inspector, close } = await startWorkerd(true);
  try {
    const filled = async () => {
      const object = await BenchObject.open(url, "WIDEST_QUEUE");
      await object.inside("fill", JOBS);
      return object;
    };
    for (let round = 0; round < 3; round++) await (await filled()).inside("work");
    const object = await filled();
    const { send, hangUp } = await attach(inspector as number);
    try {
      return await profiled(send, () => object.inside("work"));
    } finally {
      hangUp();
    }
  } finally {
    await close();
  }
}

/** The inspector's protocol over its WebSocket. */
async function attach(port: number): Promise<{ send: Send; hangUp: () => void }> {
  const response = await fetch(`http://127.0.0.1:${port}/json`);
  const [target] = (await response.json()) as { webSocketDebuggerUrl: string }[];
  if (!target) throw new Error("The runtime has nothing to profile.");
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", () => reject(new Error("The profiler does not answer.")));
  });
  const waiting = new Map<number, (result: unknown) => void>();
  socket.addEventListener("message", ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id?: number; result?: unknown };
    if (id !== undefined) waiting.get(id)?.(result);
  });
  let last = 0;
  return {
    send: (method, params = {}) =>
      new Promise((resolve) => {
        waiting.set(++last, resolve);
        socket.send(JSON.stringify({ id: last, method, params }));
      }),
    hangUp: () => socket.close(),
  };
}
