import { IndexedDbStore, indexedDbDriver } from "@quayside/browser";
import { QuaysideError } from "@quayside/core";
import { afterEach, describe, expect, it, vi } from "vitest";
import { drop, freshName } from "./support/databases.ts";
import { delivered, down, emails, held, network, Site } from "./support/outbox.ts";

let sites: Site[] = [];
const open = () => {
  const site = new Site();
  sites.push(site);
  return { site, remote: site.remote, clock: site.clock, tab: site.tab.bind(site) };
};

afterEach(async () => {
  vi.restoreAllMocks();
  for (const site of sites) await site.close();
  sites = [];
});

describe("a queue on an outbox", () => {
  it("shows what is not delivered, and the remote's after it", async () => {
    const { remote, clock, tab } = open();
    await remote.driver.enqueue([{ queue: "mail", name: "email", payload: '"there"' }]);
    remote.outage = down;
    const { outbox, mail } = tab();
    const failed = new Promise((resolve) => outbox.on("error", resolve));
    const ids = await mail.addJobs(emails(3).map((job) => ({ ...job, delay: "1h" as const, tags: ["t"] })));
    // A list shows first what is on its way: it does not change under the pages any more.
    await failed;
    expect(await mail.get(ids[0] as string)).toMatchObject({
      queue: "mail",
      name: "email",
      payload: 0,
      state: "waiting",
      blockedBy: "outbox",
      attempts: 0,
      maxAttempts: 3,
      tags: ["t"],
      availableAt: clock.now() + 3_600_000,
    });
    expect(await mail.counts()).toMatchObject({ waiting: 4, delayed: 0, active: 0 });
    const seen: unknown[] = [];
    for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
      const page = await mail.list({ limit: 2, ...(cursor !== undefined && { cursor }) });
      seen.push(...page.jobs.map(({ payload }) => payload));
      cursor = page.cursor;
    }
    expect(seen).toEqual([0, 1, 2, "there"]);
    await expect(mail.list({ cursor: "made up" })).rejects.toMatchObject({ code: "invalid_option" });
    remote.outage = undefined;
    outbox.forward();
    await delivered(outbox);
    expect(await mail.counts()).toMatchObject({ waiting: 1, delayed: 3 });
    expect(await mail.get(ids[0] as string)).toMatchObject({ state: "delayed", payload: 0 });
  });

  it("counts and lists what is known here while the remote is out of reach, and says so", async () => {
    const { remote, tab } = open();
    await remote.driver.enqueue([{ queue: "mail", name: "email", payload: '"there"' }]);
    await remote.driver.command({ type: "pause", queue: "mail" });
    remote.outage = down;
    remote.reads = network();
    const { outbox, mail } = tab();
    const failed = new Promise((resolve) => outbox.on("error", resolve));
    await mail.addJobs(emails(3));
    await failed;
    const none = { delayed: 0, active: 0, completed: 0, failed: 0, cancelled: 0 };
    expect(await mail.counts()).toEqual({ ...none, waiting: 3, paused: false, partial: true });
    expect(await mail.list({ state: "completed" })).toEqual({ jobs: [], partial: true });
    const first = await mail.list();
    expect(first.jobs.map(({ payload }) => payload)).toEqual([0, 1, 2]);
    expect(first.partial).toBeUndefined();
    const { cursor } = first;
    expect(await mail.list({ ...(cursor && { cursor }) })).toEqual({ jobs: [], partial: true });
    remote.reads = new QuaysideError("forbidden", "No.");
    await expect(mail.counts()).rejects.toMatchObject({ code: "forbidden" });
    await expect(mail.list({ state: "completed" })).rejects.toMatchObject({ code: "forbidden" });
    remote.outage = undefined;
    remote.reads = undefined;
    outbox.forward();
    await delivered(outbox);
    expect(await mail.counts()).toEqual({ ...none, waiting: 4, paused: true });
  });

  it("waits for a job's result across its delivery", async () => {
    const { remote, tab } = open();
    remote.outage = down;
    const { outbox, mail } = tab();
    const id = await mail.addJob("email", 7);
    const result = mail.waitFor(id);
    remote.outage = undefined;
    outbox.forward();
    await delivered(outbox);
    const { jobs } = await remote.driver.exchange({
      worker: "w",
      liveness: "time",
      leaseMs: 1_000,
      exchange: 1,
      settle: [],
      running: [],
      claim: { limit: 1, queues: [{ queue: "mail" }] },
    });
    await remote.driver.exchange({
      worker: "w",
      liveness: "time",
      leaseMs: 1_000,
      exchange: 2,
      settle: [{ token: jobs[0]?.token as string, outcome: "completed", result: '"sent"' }],
      running: [],
      claim: { limit: 0, queues: [] },
    });
    expect(await result).toBe("sent");
  });

  it("is worked at the remote, by a worker that is given the outbox", async () => {
    const { tab } = open();
    const { outbox, mail } = tab();
    const ran: unknown[] = [];
    mail.on("job:email", (payload) => void ran.push(payload));
    await mail.run();
    await mail.addJobs(emails(3));
    await vi.waitFor(() => expect(ran).toEqual([0, 1, 2]));
    await mail.stop();
    expect((await outbox.state()).pending).toBe(0);
  });

  it("clears here and there, what is in flight after its answer", async () => {
    const { remote, tab } = open();
    const answer = held();
    remote.faults.push(answer.fault);
    const { outbox, mail } = tab();
    await mail.addJob("email", 0);
    await answer.arrived;
    await mail.addJobs(emails(2, 1));
    await mail.clear();
    answer.release();
    await delivered(outbox);
    await remote.work();
    expect(remote.handled).toEqual([]);
    expect(await mail.counts()).toMatchObject({ waiting: 0, cancelled: 0, failed: 0 });
  });
});

describe("queues that are worked in the same database", () => {
  it("keep the jobs of their dead workers until one of their own takes them back", async () => {
    const { site, clock, tab } = open();
    const driver = indexedDbDriver({ name: site.name, clock });
    await driver.enqueue([{ queue: "local", name: "email", payload: "1", id: "own" }]);
    const base = { liveness: "time", leaseMs: 30_000, exchange: 1, settle: [], running: [] } as const;
    await driver.exchange({ ...base, worker: "dead", claim: { limit: 1, queues: [{ queue: "local" }] } });
    const { outbox, mail } = tab();
    for (let n = 0; n < 4; n++) {
      await mail.addJob("email", n);
      await delivered(outbox);
      await clock.advance(20_000);
    }
    expect(await driver.get("local", "own")).toMatchObject({ state: "active", interruptions: 0 });
    await driver.close();
  });
});

describe("tabs of one outbox", () => {
  it("all know how it stands, and each can have it tried again", async () => {
    const { remote, tab } = open();
    remote.outage = down;
    const { outbox, mail } = tab();
    const other = tab();
    await mail.addJob("email", 0);
    await vi.waitFor(async () =>
      expect(await other.outbox.state()).toMatchObject({ pending: 1, lastError: { code: "network" } }),
    );
    expect(await other.outbox.state()).toEqual(await outbox.state());
    remote.outage = undefined;
    other.outbox.forward();
    await delivered(outbox);
    await vi.waitFor(async () => expect(await other.outbox.state()).toEqual({ pending: 0, failed: 0 }));
  });
});

describe("the strict twin of a driver", () => {
  it("leaves the driver open when it closes, and closes with it", async () => {
    const name = freshName();
    const driver = indexedDbDriver({ name });
    const [one, two] = [driver.strict(), driver.strict()];
    await one.enqueue([{ queue: "mail", name: "email", payload: "1" }]);
    await one.close();
    expect((await driver.counts("mail")).waiting).toBe(1);
    await driver.close();
    await expect(two.counts("mail")).rejects.toMatchObject({ code: "closed" });
    await drop(name);
  });
});

describe("a partition of an outbox", () => {
  it("is forwarded only while a driver of its name is open", async () => {
    const { remote, tab } = open();
    remote.outage = down;
    const ada = tab({ partition: "ada" });
    await ada.mail.addJob("email", "ada's");
    await ada.outbox.close();
    remote.outage = undefined;
    const bob = tab({ partition: "bob" });
    await bob.mail.addJob("email", "bob's");
    await delivered(bob.outbox);
    await remote.work();
    expect(remote.handled).toEqual(["bob's"]);
    await bob.outbox.close();
    await delivered(tab({ partition: "ada" }).outbox);
    await remote.work();
    expect(remote.handled).toEqual(["bob's", "ada's"]);
  });

  it("is purged at sign-out, in flight or not; the others stay", async () => {
    const { remote, site, clock, tab } = open();
    remote.outage = down;
    const ada = tab({ partition: "ada" });
    const bob = tab({ partition: "bob" });
    const failed = new Promise((resolve) => ada.outbox.on("error", resolve));
    await ada.mail.addJob("email", "secret");
    await bob.mail.addJob("email", "bob's");
    await failed;
    await ada.mail.addJobs(emails(3));
    await ada.outbox.purge();
    expect(await ada.outbox.state()).toMatchObject({ pending: 0, failed: 0 });
    expect(await bob.outbox.state()).toMatchObject({ pending: 1 });
    const store = new IndexedDbStore({ name: site.name });
    const jobs = await store.transact(function* () {
      return (yield { op: "scan", collection: "jobs", from: [], to: ["\uffff"], limit: 100 }) as { queue: string }[];
    });
    await store.close();
    expect(new Set(jobs.map(({ queue }) => queue))).toEqual(
      new Set(["outbox/bob@", "outbox/bob@unnamed", "outbox/bob@unnamed/mail"]),
    );
    remote.outage = undefined;
    await clock.advance(300_000);
    await delivered(bob.outbox);
    await ada.mail.addJob("email", "signed in again");
    await delivered(ada.outbox);
    await remote.work();
    expect(remote.handled).toEqual(["bob's", "signed in again"]);
  });

  it("is purged in the other tabs too: what they had in hand they do not send again", async () => {
    const { remote, clock, tab } = open();
    remote.outage = down;
    const one = tab();
    const failed = new Promise((resolve) => one.outbox.on("error", resolve));
    await one.mail.addJob("email", "secret");
    await failed;
    await tab().outbox.purge();
    remote.outage = undefined;
    await clock.advance(300_000);
    await one.mail.addJob("email", "next");
    await delivered(one.outbox);
    await remote.work();
    expect(remote.handled).toEqual(["next"]);
  });
});
