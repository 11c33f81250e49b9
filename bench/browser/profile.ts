import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { CHROMIUM_FLAGS, findBrowser } from "../../scripts/find-browsers.mjs";
import type { Case } from "../lib/case.ts";
import { type CpuProfile, profileCase, profiled } from "../lib/profile.ts";
import type { Run } from "./protocol.ts";

const JOBS = 5_000;
const WAITING = "waiting for IndexedDB, which runs in another process";
const REQUESTS = "making its requests and reading its answers";
const GARBAGE = "garbage collection";
const ENGINE = "the engine: tasks, callbacks";
const OWN = "Quayside's own code";

/** Methods of IndexedDB that are called in the page; reading `result` is where an answer is decoded. */
const REQUEST = /^(?:put|get|getAll|getAllKeys|delete|transaction|objectStore|commit|bound|cmp|get result)$/;

function roomOf(functionName: string, url: string): string | undefined {
  switch (functionName) {
    case "(idle)":
      return WAITING;
    case "(garbage collector)":
      return GARBAGE;
    case "(program)":
    case "(root)":
      return ENGINE;
  }
  if (url !== "") return OWN;
  return REQUEST.test(functionName) ? REQUESTS : undefined;
}

/** The page's own thread, in Chromium: what is not its code is time in which it can do nothing. */
export const whereTimeGoes = (url: string): Case =>
  profileCase(
    "where the time of a job goes, worked 50 at a time, in the page's thread, the fill included",
    JOBS,
    [WAITING, REQUESTS, ENGINE, GARBAGE, OWN],
    roomOf,
    () => profileIn(url, { contestant: "Quayside", measure: "work", jobs: JOBS, concurrency: 50 }),
  );

async function profileIn(url: string, run: Run): Promise<CpuProfile> {
  const executablePath = await findBrowser("chromium");
  if (!executablePath) throw new Error("No browser is installed for chromium.");
  const userDataDir = await mkdtemp(join(tmpdir(), "quayside-profile-"));
  const browser = await puppeteer.launch({ executablePath, userDataDir, headless: true, args: CHROMIUM_FLAGS });
  try {
    const [page = await browser.newPage()] = await browser.pages();
    await page.goto(url);
    const session = await page.createCDPSession();
    const work = () => page.evaluate(`bench.run(${JSON.stringify(run)})`);
    await work();
    return await profiled((method, params) => session.send(method as "Profiler.enable", params as never), work);
  } finally {
    await browser.close();
    await rm(userDataDir, { recursive: true, force: true, maxRetries: 5 });
  }
}
