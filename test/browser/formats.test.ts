import { IndexedDbStore, indexedDbDriver } from "@quayside/browser";
import { everything, Queue } from "@quayside/core";
import { COLLECTION_NAMES, StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { openDB } from "idb";
import { afterEach, describe, expect, it, vi } from "vitest";
import { expectAllThere, expectAllWorked, fill } from "../support/recorded-database.ts";
import databaseOne from "./fixtures/database-1.json";
import { databaseOf, drop, freshName, VERSION } from "./support/databases.ts";

type Upgrade = NonNullable<ConstructorParameters<typeof IndexedDbStore>[2]>[number];

/** The step of today's code, and an invented one to format 2, in which each job has a tag more. */
const toOne: Upgrade = ({ db }) => {
  for (const collection of COLLECTION_NAMES) db.createObjectStore(collection);
};
const answered = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
const toTwo: Upgrade = async (transaction) => {
  transaction.db.createObjectStore("extra");
  const jobs = transaction.objectStore("jobs");
  for (const key of await answered(jobs.getAllKeys())) {
    const record = await answered(jobs.get(key));
    await answered(jobs.put({ ...record, tags: ["two"] }, key));
  }
};

const names: string[] = [];
function named(): string {
  const name = freshName();
  names.push(name);
  return name;
}
afterEach(() => Promise.all(names.splice(0).map(drop)));

/** A driver of code that has these steps. */
function driverOf(name: string, upgrades: readonly Upgrade[]): StoreDriver {
  return new StoreDriver(new IndexedDbStore({ name }, undefined, upgrades), { plugins: everything() });
}

/** A database of format 1 with jobs of each kind. */
async function write(name: string): Promise<void> {
  const driver = indexedDbDriver({ name });
  const queue = new Queue("mail", driver);
  await queue.addJobs(Array.from({ length: 50 }, (_, index) => ({ name: "email", payload: index })));
  await queue.addJob("email", "own", { id: "own", dedupe: { key: "k", mode: "drop" } });
  await queue.addJob("email", "later", { delay: "1h" });
  await driver.close();
}

type Contents = Awaited<ReturnType<typeof contents>>;

/** All records by their object stores, with their keys, and the version of the database. */
async function contents(name: string) {
  const database = await openDB(databaseOf(name));
  const { version } = database;
  const stores = [...database.objectStoreNames].map(
    async (store) => [store, await database.getAllKeys(store), await database.getAll(store)] as const,
  );
  const records = await Promise.all(stores);
  database.close();
  return { version, records };
}

/** What a database of each released format holds, as `contents` gives it. */
const fixtures: ReadonlyMap<number, Contents> = new Map([[1, databaseOne as unknown as Contents]]);

/** Makes the database that a fixture describes. */
async function restore(name: string, { version, records }: Contents): Promise<void> {
  const database = await openDB(databaseOf(name), version, {
    upgrade: (made) => {
      for (const [store] of records) made.createObjectStore(store);
    },
  });
  for (const [store, keys, values] of records) {
    const { store: open, done } = database.transaction(store, "readwrite");
    for (const [index, key] of keys.entries()) await open.put(values[index], key);
    await done;
  }
  database.close();
}

const total = async (driver: StoreDriver) => {
  const { waiting, delayed } = await driver.counts("mail");
  return waiting + delayed;
};

it("R39: a new database is of format 1", async () => {
  const name = named();
  await write(name);
  expect(VERSION).toBe(1);
  expect(await contents(name)).toMatchObject({ version: 1 });
});

it("R39: the newest format has a fixture, which is what today's code stores", async () => {
  const name = named();
  const store = new IndexedDbStore({ name });
  await fill(store, "time");
  await store.close();
  const stored = JSON.parse(JSON.stringify(await contents(name)));
  const missing = `Format ${VERSION} needs a fixture, fixtures/database-${VERSION}.json:\n${JSON.stringify(stored)}`;
  expect(fixtures.get(VERSION), missing).toEqual(stored);
});

describe.each([...fixtures])("R39: a recorded database of format %i", (_, recorded) => {
  it("is opened with all that it holds, and each of its jobs is worked", async () => {
    const name = named();
    await restore(name, recorded);
    const clock = createManualClock();
    const driver = new StoreDriver(new IndexedDbStore({ name }), { plugins: everything(), clock });
    await clock.advance("1s");
    await expectAllThere(driver);
    await expectAllWorked(driver, (ms) => clock.advance(ms));
    await driver.close();
  });
});

describe("R39: a database of format 1", () => {
  it("is brought to an invented format 2 with all its records, and worked", async () => {
    const name = named();
    await write(name);
    const driver = driverOf(name, [toOne, toTwo]);
    expect(await total(driver)).toBe(52);
    expect(await driver.get("mail", "own")).toMatchObject({ payload: "own", tags: ["two"] });
    const queue = new Queue("mail", driver);
    let worked = 0;
    queue.on("job:email", () => void worked++);
    await queue.drain();
    expect(worked).toBe(51);
    await driver.close();
    expect(await contents(name)).toMatchObject({ version: 2 });
  });

  it.each<[how: string, step: Upgrade, cause: object]>([
    [
      "throws at once",
      () => {
        throw new TypeError("a mistake");
      },
      { message: "a mistake" },
    ],
    [
      "throws after it has changed records",
      async (transaction) => {
        await toTwo(transaction);
        await answered(transaction.objectStore("jobs").clear());
        throw new TypeError("a mistake");
      },
      { message: "a mistake" },
    ],
    [
      "makes a store that is there",
      ({ db }) => {
        db.createObjectStore("jobs");
      },
      { name: "ConstraintError" },
    ],
    ["rejects with nothing", () => Promise.reject(undefined), {}],
  ])("stays as it is where an upgrade %s; the error says so, and the next open works", async (_, step, cause) => {
    const name = named();
    await write(name);
    const before = await contents(name);
    let mended = false;
    const driver = driverOf(name, [toOne, (transaction) => (mended ? toTwo : step)(transaction)]);
    for (let time = 0; time < 2; time++) {
      const error = await driver.counts("mail").catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: "storage_unavailable",
        details: { reason: "failed" },
        message: expect.stringMatching(/could not be upgraded and is as it was\. The next call tries again/),
        cause,
      });
    }
    expect(await contents(name)).toEqual(before);
    const older = indexedDbDriver({ name });
    expect(await older.get("mail", "own")).toMatchObject({ payload: "own" });
    await older.close();
    mended = true;
    expect(await total(driver)).toBe(52);
    await driver.close();
  });
});

describe("R39: a database of format 2 under code of format 1", () => {
  it("is refused, reported and left as it is; what was added is there again for the newer code", async () => {
    const name = named();
    await write(name);
    const newer = driverOf(name, [toOne, toTwo]);
    expect(await total(newer)).toBe(52);
    await newer.close();
    const before = await contents(name);

    const driver = indexedDbDriver({ name });
    const queue = new Queue("mail", driver);
    const refusal = { code: "storage_unavailable", details: { reason: "newer_version" } };
    const errors: unknown[] = [];
    queue.on("error", ({ error }) => errors.push(error));
    queue.on("job:email", () => {});
    await expect(queue.addJob("email", "more")).rejects.toMatchObject(refusal);
    await expect(queue.counts()).rejects.toMatchObject(refusal);
    await expect(queue.clear()).rejects.toMatchObject(refusal);
    await queue.run();
    await expect(queue.drain()).rejects.toMatchObject(refusal);
    await vi.waitFor(() => expect(errors[0]).toMatchObject(refusal));
    await queue.stop();
    await driver.close();
    expect(await contents(name)).toEqual(before);

    const again = driverOf(name, [toOne, toTwo]);
    expect(await total(again)).toBe(52);
    await again.close();
  });

  it("whose upgrade was undone is used on by a page that was open before", async () => {
    const name = named();
    await write(name);
    const older = indexedDbDriver({ name });
    expect(await total(older)).toBe(52);
    const failing = driverOf(name, [toOne, () => Promise.reject(new Error("no"))]);
    await expect(failing.counts("mail")).rejects.toMatchObject({ details: { reason: "failed" } });
    expect(await total(older)).toBe(52);
    await Promise.all([older.close(), failing.close()]);
  });
});
