import { indexedDbDriver as fullDriver } from "@quayside/browser";
import { indexedDbDriver } from "@quayside/browser/mini";
import type { NewJob } from "@quayside/core/engine";
import { dedupe, flows, groups } from "@quayside/core/mini";
import { driverConformance } from "@quayside/testing";
import { afterEach, describe, expect, it } from "vitest";
import { drop, freshName } from "./support/databases.ts";
import { openDriverWith } from "./support/open-driver.ts";

describe("the indexedDbDriver of mini", () => {
  const cases = driverConformance(
    { describe, it, expect },
    openDriverWith((options) => indexedDbDriver(options)),
    { plugins: [] },
  );
  it("runs the cases that need no plugin", () => {
    expect(cases).toBeGreaterThanOrEqual(230);
    console.info(`driver conformance of mini on IndexedDB: ${cases} cases that need no plugin`);
  });
});

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const job = (fields: Partial<NewJob> = {}): NewJob => ({ queue: "mail", name: "email", payload: "null", ...fields });

function open<D extends { close(): Promise<void> }>(driver: D): D {
  closers.push(() => driver.close());
  return driver;
}

function named(): string {
  const name = freshName();
  closers.push(() => drop(name));
  return name;
}

const refusal = (...missing: readonly string[]) => ({
  code: "storage_unavailable",
  details: { reason: "missing_plugins", missing },
  message: expect.stringContaining(
    missing.map((plugin) => `Add \`${plugin}\` from "@quayside/core/mini" to the driver's plugins.`).join(" "),
  ),
});

describe("a database and the plugins that own records in it", () => {
  it("is not opened by a page that lacks one, and the error names the imports", async () => {
    const name = named();
    const full = open(fullDriver({ name }));
    await full.enqueue([
      job({ dedupe: { key: "k", mode: "drop" } }),
      job({ flow: { ref: "top" } }),
      job({ flow: { parentRef: "top" } }),
    ]);
    await full.close();
    await expect(open(indexedDbDriver({ name })).counts("mail")).rejects.toMatchObject(refusal("dedupe", "flows"));
    const half = open(indexedDbDriver({ name, plugins: [flows(), groups()] }));
    await expect(half.enqueue([job()])).rejects.toMatchObject(refusal("dedupe"));
    const enough = open(indexedDbDriver({ name, plugins: [flows(), dedupe()] }));
    expect(await enough.counts("mail")).toMatchObject({ waiting: 3 });
  });

  it("is opened by a page without plugins where another page has used none of its own", async () => {
    const name = named();
    const full = open(fullDriver({ name }));
    await full.enqueue([job()]);
    expect(await open(indexedDbDriver({ name })).counts("mail")).toMatchObject({ waiting: 1 });
  });

  it("tells the page with fewer plugins at its next call, while both are open", async () => {
    const name = named();
    const [less, full] = [open(indexedDbDriver({ name })), open(fullDriver({ name }))];
    await less.enqueue([job()]);
    expect(await full.counts("mail")).toMatchObject({ waiting: 1 });
    await full.enqueue([job({ group: { key: "k" } })]);
    for (const call of [() => less.counts("mail"), () => less.enqueue([job()]), () => less.get("mail", "a")])
      await expect(call()).rejects.toMatchObject(refusal("groups"));
    expect(await full.counts("mail")).toMatchObject({ waiting: 2 });
  });
});
