import type { LaunchOptions } from "playwright-core";
import { CHROMIUM_FLAGS, ensureChromium } from "../../scripts/find-chromium.mjs";

/** Options for `chromium.launch()` and `launchPersistentContext()` of playwright-core, with a browser that is there. */
export async function launchOptions(): Promise<LaunchOptions> {
  return { executablePath: await ensureChromium(), headless: true, args: CHROMIUM_FLAGS };
}
