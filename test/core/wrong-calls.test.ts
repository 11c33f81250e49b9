import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";

const FOLDER = join(import.meta.dirname, "../types/wrong-calls");

/** Prints what the compiler says about the project in a folder. */
const compile = (folder: string): Promise<string> =>
  new Promise((resolve) => {
    const tsc = join(import.meta.dirname, "../../node_modules/.bin/tsc");
    const shell = process.platform === "win32";
    execFile(tsc, ["-p", folder, "--pretty", "false"], { shell, maxBuffer: 2 ** 24 }, (_, printed) => resolve(printed));
  });

it("each wrong call is refused with a message that names the mistake", async () => {
  const lines = readFileSync(join(FOLDER, "calls.ts"), "utf8").split("\n");
  /** The title of the call that a line is a part of. */
  const titleAt = (line: number) => lines.slice(0, line).findLast((text) => text.startsWith("/* ")) ?? "no title";
  const said = new Map<string, string[]>();
  let title = "";
  for (const text of (await compile(FOLDER)).split("\n")) {
    const [, file = "", line = "", message] = /^(\S+?)\((\d+),\d+\): error TS\d+: (.*)$/.exec(text) ?? [];
    if (message !== undefined) title = file.endsWith("calls.ts") ? titleAt(Number(line)) : file;
    if (text.trim() !== "") said.set(title, [...(said.get(title) ?? []), message ?? text]);
  }
  const titles = lines.filter((text) => text.startsWith("/* "));
  expect([...said.keys()].sort()).toEqual([...titles].sort());
  const printed = titles.map((one) =>
    [one.slice(3, -3), ...(said.get(one) ?? []).map((text) => `  ${text}`)].join("\n"),
  );
  await expect(`${printed.join("\n\n")}\n`).toMatchFileSnapshot(join(FOLDER, "messages.txt"));
}, 60_000);
