import { chromium } from "playwright-core";
import { expect, it } from "vitest";
import { launchOptions } from "../support/chromium.ts";

it("end-to-end tests launch Chromium and run code in a page", async () => {
  const browser = await chromium.launch(await launchOptions());
  try {
    const page = await browser.newPage();
    await page.setContent("<h1>Quayside</h1>");
    expect(await page.evaluate(() => document.querySelector("h1")?.textContent)).toBe("Quayside");
  } finally {
    await browser.close();
  }
});
