import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const PRELUDE = `
  import { broadcastEvents, indexedDbDriver, liveCounts, outboxDriver, workerEvents } from "@quayside/browser";
  import { memoryDriver, Queue } from "@quayside/core";
  const local = indexedDbDriver({ name: "rendered" });
  const outbox = () => outboxDriver({ local, remote: memoryDriver() });
  const code = (error) => error.code;
`;

const run = promisify(execFile);
/** Runs this script alone in a Node process; resolves with its output. Rejects when the process does not end by itself. */
async function printed(script: string): Promise<string> {
  const cwd = fileURLToPath(new URL("..", import.meta.url));
  const args = ["--input-type=module", "--no-warnings", "--eval", PRELUDE + script];
  const { stdout } = await run(process.execPath, args, { cwd, timeout: 15_000 });
  return stdout.trim();
}

describe("a server that renders a page (Node, without IndexedDB)", { timeout: 20_000 }, () => {
  it.each([
    ["an outbox", "outbox();", ""],
    [
      "an outbox that was added to",
      `console.log(await new Queue("mail", outbox()).addJob("email", 1).catch(code));`,
      "storage_unavailable",
    ],
    ["the state of an outbox", "console.log(await outbox().state().catch(code));", "storage_unavailable"],
    [
      "a live value of an outbox",
      `liveCounts(new Queue("mail", outbox())).subscribe(({ status }) => console.log(status));`,
      "loading\nfailed",
    ],
    ["broadcastEvents", `broadcastEvents(new Queue("mail", local), "rendered");`, ""],
    ["a listener of workerEvents", `workerEvents("rendered").on("completed", () => {});`, ""],
  ])("%s does not keep the process from ending", async (_, script, output) => {
    expect(await printed(script)).toBe(output);
  });
});
