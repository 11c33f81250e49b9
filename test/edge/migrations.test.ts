import { evictDurableObject, reset, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { edgeQueue, queueStub, StubDriver } from "@quayside/edge";
import { MIGRATIONS, type Migration, migrate, SqlStore } from "@quayside/edge/engine";
import { checkInvariants } from "@quayside/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { expectAllThere, expectAllWorked, fill } from "../support/recorded-database.ts";
import { dump } from "./fixtures/dump.ts";
import { ended, open } from "./work-queue.ts";

afterEach(reset);

/** What objects of each version that was released hold, as SQL. */
const fixtures = import.meta.glob<string>("./fixtures/version-*.sql", {
  query: "?raw",
  import: "default",
  eager: true,
});
const fixtureOf = (version: number): string | undefined => fixtures[`./fixtures/version-${version}.sql`];

/** Takes the place of all that Quayside has stored in an object. */
function restore({ sql }: DurableObjectStorage, text: string): void {
  const tables = sql.exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name LIKE 'quayside_%'").toArray();
  for (const { name } of tables) sql.exec(`DROP TABLE ${name}`);
  sql.exec(text);
}

const layoutOf = (sql: SqlStorage) =>
  sql
    .exec("SELECT name, sql FROM sqlite_master WHERE name LIKE 'quayside_%' AND type = 'table' ORDER BY name")
    .toArray();

it("every version of the tables has a fixture, and the newest is what objects of today store", async () => {
  const newest = MIGRATIONS.length;
  await runInDurableObject(env.SMOKE.getByName("newest"), async (_, { storage }) => {
    await fill(new SqlStore(storage), "process");
    const missing = `Version ${newest} needs a fixture: test/edge/fixtures/version-${newest}.sql\n${dump(storage.sql)}`;
    expect(fixtureOf(newest), missing).toBeDefined();
    const layout = layoutOf(storage.sql);
    restore(storage, fixtureOf(newest) as string);
    expect(layoutOf(storage.sql)).toEqual(layout);
  });
  for (let version = 1; version <= newest; version++) expect(fixtureOf(version)).toBeDefined();
});

describe.each(Object.entries(fixtures))("an object as %s left it", (path, text) => {
  const version = Number(/\d+/.exec(path)?.[0]);

  async function opened() {
    const name = `from version ${version}`;
    const object = env.BARE_QUEUE.getByName(name);
    await runInDurableObject(object, (_, { storage }) => restore(storage, text));
    await evictDurableObject(object);
    return { object, driver: new StubDriver(() => queueStub(env.BARE_QUEUE, name)) };
  }

  it("is brought to the tables of today, and lacks nothing that a queue needs", async () => {
    const { object, driver } = await opened();
    await driver.counts("mail");
    await runInDurableObject(object, (_, { storage }) => {
      const [row] = storage.sql.exec("SELECT MAX(version) AS version FROM quayside_migrations").toArray();
      expect(row).toEqual({ version: MIGRATIONS.length });
      expect(new SqlStore(storage).run(checkInvariants)).toEqual([]);
    });
  });

  it("keeps what it knew: ended jobs, settings, recurrences, dedupe keys, numbered requests", async () => {
    const { driver } = await opened();
    await expectAllThere(driver);
  });

  it("has every job worked to its end: held, blocked, delayed, retried, of groups, flows and recurrences", async () => {
    const { object, driver } = await opened();
    await expectAllWorked(driver, (ms) => object.advance(ms));
  });
});

describe("migrations", () => {
  const stepTwo: Migration = (sql) => {
    sql.exec("CREATE TABLE quayside_extra (name TEXT PRIMARY KEY) WITHOUT ROWID");
    sql.exec("UPDATE quayside_jobs SET record = json_set(record, '$.tags', json_array('two'))");
  };
  const inStorage = (work: (storage: DurableObjectStorage) => void) =>
    runInDurableObject(env.SMOKE.get(env.SMOKE.newUniqueId()), (_, { storage }) => {
      restore(storage, fixtureOf(1) as string);
      work(storage);
    });

  it("take the steps that an object lacks, in order, and none twice", async () => {
    await inStorage((storage) => {
      const taken: number[] = [];
      const three: Migration = () => void taken.push(3);
      const steps = [
        ...MIGRATIONS.slice(0, 1),
        (sql: SqlStorage) => {
          taken.push(2);
          stepTwo(sql);
        },
        three,
      ];
      expect(migrate(storage, steps)).toBe(2);
      expect(migrate(storage, steps)).toBe(0);
      expect(taken).toEqual([2, 3]);
      const rows = storage.sql.exec("SELECT DISTINCT record ->> '$.tags' AS tags FROM quayside_jobs").toArray();
      expect(rows).toEqual([{ tags: '["two"]' }]);
    });
  });

  it("that fail leave the number before and every record, and are taken up there the next time", async () => {
    await inStorage((storage) => {
      const failing: Migration = (sql) => {
        stepTwo(sql);
        throw new Error("not on this day");
      };
      const before = dump(storage.sql);
      const marker: Migration = (sql) => void sql.exec("CREATE TABLE quayside_marker (name TEXT PRIMARY KEY)");
      const first = [...MIGRATIONS.slice(0, 1), failing];
      expect(() => migrate(storage, first)).toThrow(
        expect.objectContaining({ code: "storage_unavailable", details: { reason: "failed", version: 2 } }),
      );
      expect(dump(storage.sql)).toBe(before);
      // A step before the one that fails stands.
      expect(() => migrate(storage, [...MIGRATIONS.slice(0, 1), marker, failing])).toThrow("version 3");
      expect(migrate(storage, [...MIGRATIONS.slice(0, 1), marker, stepTwo])).toBe(1);
    });
  });

  it("refuse tables of a newer version than the code, and leave them as they are", async () => {
    await inStorage((storage) => {
      storage.sql.exec("INSERT INTO quayside_migrations VALUES (99)");
      const before = dump(storage.sql);
      expect(() => migrate(storage)).toThrow(/of version 99; this code knows \d+ at most/);
      expect(dump(storage.sql)).toBe(before);
    });
  });
});

describe("a deploy that was rolled back to older code", () => {
  it("answers every call with storage_unavailable, changes nothing, keeps its alarm, and works on once the code is newer", async () => {
    const { name, queue, object, storage, alarm } = open();
    const id = await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    await storage(({ sql }) => void sql.exec("INSERT INTO quayside_migrations VALUES (99)"));
    await evictDurableObject(object);
    const before = await storage(({ sql }) => dump(sql));
    const driver = new StubDriver(() => queueStub(env.WORK_QUEUE, name));
    const refused = {
      code: "storage_unavailable",
      details: { reason: "newer_version", version: 99, known: MIGRATIONS.length },
    };
    await expect(queue.addJob("email", { to: "bob@example.com" })).rejects.toMatchObject(refused);
    await expect(queue.get(id)).rejects.toMatchObject(refused);
    await expect(queue.counts()).rejects.toMatchObject(refused);
    await expect(driver.nextWake([name])).rejects.toMatchObject(refused);
    await runDurableObjectAlarm(object);
    expect(Math.abs(((await alarm()) as number) - Date.now() - 10_000)).toBeLessThan(5_000);
    expect(await storage(({ sql }) => dump(sql))).toBe(before);

    await storage(({ sql }) => void sql.exec("DELETE FROM quayside_migrations WHERE version = 99"));
    expect(await queue.promote(id)).toMatchObject({ affected: 1 });
    expect(await ended(queue, id)).toMatchObject({ state: "completed" });
  });

  it("is woken less and less often, over the lives of the object: after 10 s, then twice that, up to ten minutes", async () => {
    const { queue, object, storage, alarm } = open();
    const id = await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    await storage(({ sql }) => void sql.exec("INSERT INTO quayside_migrations VALUES (99)"));
    const tries: number[] = [];
    const ring = async () => {
      await evictDurableObject(object);
      await runDurableObjectAlarm(object);
      const seconds = ((await alarm()) as number) - Date.now();
      tries.push(Math.round(seconds / 10_000) * 10);
    };
    for (let time = 0; time < 8; time++) await ring();
    expect(tries).toEqual([10, 20, 40, 80, 160, 320, 600, 600]);
    // Once it can be read again, a call arms the alarm anew, and the next failure counts as the first.
    await storage(({ sql }) => void sql.exec("DELETE FROM quayside_migrations WHERE version = 99"));
    expect(await queue.get(id)).toMatchObject({ state: "delayed" });
    await runDurableObjectAlarm(object);
    await storage(({ sql }) => void sql.exec("INSERT INTO quayside_migrations VALUES (99)"));
    await ring();
    expect(tries.at(-1)).toBe(10);
  });

  it("finds the jobs of all its queues again, also those that nobody asks for", async () => {
    const { name, object, storage } = open();
    const other = edgeQueue(env.WORK_QUEUE, name);
    const driver = new StubDriver(() => queueStub(env.WORK_QUEUE, name));
    const note = JSON.stringify({ board: name, note: "worked" });
    await driver.enqueue([{ queue: "another", name: "note", payload: note, delayMs: 500 }]);
    await storage(({ sql }) => void sql.exec("INSERT INTO quayside_migrations VALUES (99)"));
    await evictDurableObject(object);
    await expect(other.counts()).rejects.toMatchObject({ code: "storage_unavailable" });
    await storage(({ sql }) => void sql.exec("DELETE FROM quayside_migrations WHERE version = 99"));
    await runDurableObjectAlarm(object);
    await vi.waitFor(async () => expect(await env.SMOKE.getByName(name).notes()).toEqual(["worked"]), {
      timeout: 10_000,
    });
  });
});
