import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Runs a small soak on memory, with a bug in the engine or without one. */
async function soak(bug?: string): Promise<{ code: number; printed: string }> {
  const hook = bug === undefined ? [] : ["--import", file("../soak/seed-bug.ts")];
  const args = [...hook, file("../soak/run.ts"), "--home", "memory", "--jobs", "10000", "--seed", "7"];
  const env = { ...process.env, ...(bug !== undefined && { QUAYSIDE_SEEDED_BUG: bug }) };
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
  const [text, [code]] = await Promise.all([child.stdout.toArray(), once(child, "exit")]);
  return { code: code as number, printed: Buffer.concat(text).toString() };
}

it("the soak passes on the engine as it is", { timeout: 300_000 }, async () => {
  expect(await soak()).toMatchObject({ code: 0, printed: expect.stringContaining("1 passed, 0 failed") });
});

it.each([
  ["dropped settlement", "VIOLATION repeated"],
  ["double claim", "VIOLATION two runs at once"],
  ["skipped recovery", "VIOLATION stuck"],
])("the soak fails when the engine has a %s", { timeout: 300_000 }, async (bug, violation) => {
  expect(await soak(bug)).toMatchObject({ code: 1, printed: expect.stringContaining(violation) });
});
