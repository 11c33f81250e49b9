import type { LaunchOptions } from "playwright-core";
import { CHROMIUM_FLAGS, ensureBrowser } from "../../scripts/find-browsers.mjs";

/** Options for `chromium.launch()` and `launchPersistentContext()` of playwright-core, with a browser that is there. */
export async function launchOptions(): Promise<LaunchOptions> {
  return { executablePath: await ensureBrowser("chromium"), headless: true, args: CHROMIUM_FLAGS };
}
