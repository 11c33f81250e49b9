import { QuaysideError } from "@quayside/core";
import { afterEach, describe, expect, it, vi } from "vitest";
import { couldHaveSent, delivered, down, emails, lost, network, refuse, Site } from "./support/outbox.ts";

let sites: Site[] = [];
const open = (): Site => {
  const site = new Site();
  sites.push(site);
  return site;
};

afterEach(async () => {
  vi.restoreAllMocks();
  for (const site of sites) await site.close();
  sites = [];
});

const order = (count: number) => Array.from({ length: count }, (_, index) => index);

describe("an outbox", () => {
  it("takes jobs while the remote is out of reach, and delivers them later, in order, under their ids", async () => {
    const { remote, tab, clock } = bound(open());
    remote.outage = down;
    const { outbox, mail } = tab();
    const ids = await mail.addJobs(emails(450));
    expect(await outbox.state()).toMatchObject({ pending: 450, failed: 0 });
    await vi.waitFor(async () => expect((await outbox.state()).lastError).toMatchObject({ code: "network" }));
    remote.outage = undefined;
    await clock.advance(1_000);
    await delivered(outbox);
    expect(remote.sent.at(-1)?.ids).toEqual(ids.slice(400));
    await remote.work();
    expect(remote.handled).toEqual(order(450));
    expect(await outbox.state()).toEqual({ pending: 0, failed: 0 });
  });

  it("delivers what it holds after days offline, in a tab that comes later", async () => {
    const { remote, tab, clock } = bound(open());
    remote.outage = down;
    const first = tab();
    await first.mail.addJobs(emails(3));
    await clock.advance(3_600_000);
    await first.outbox.close();
    await clock.advance(9 * 86_400_000);
    remote.outage = undefined;
    await delivered(tab().outbox);
    await remote.work();
    expect(remote.handled).toEqual(order(3));
  });

  it("tries again after a second, then twice that, up to five minutes; a second after a sign of the network, or ten after a new job", async () => {
    const { remote, tab, clock } = bound(open());
    remote.outage = down;
    const { outbox, mail } = tab();
    const waits: number[] = [];
    outbox.on("error", ({ retryInMs }) => waits.push(retryInMs));
    await mail.addJob("email", 0);
    for (let n = 1; n <= 11; n++) {
      await vi.waitFor(() => expect(waits).toHaveLength(n));
      await clock.advance(waits.at(-1) as number);
    }
    expect(waits.slice(0, 3)).toEqual([500, 1_000, 2_000]);
    expect(waits[10]).toBe(150_000);
    await vi.waitFor(() => expect(waits).toHaveLength(12));
    window.dispatchEvent(new Event("online"));
    await clock.advance(1_000);
    await vi.waitFor(() => expect(waits).toHaveLength(13));
    remote.outage = undefined;
    await mail.addJob("email", 1);
    await clock.advance(10_000);
    await delivered(outbox);
  });

  it.each([
    ["a server that is busy", network({ status: 503, retryAfterMs: 60_000 })],
    [
      "an API whose quota is used up",
      new QuaysideError("rate_limited", "Later.", { status: 429, retryAfterMs: 60_000 }),
    ],
    ["a queue that is full", new QuaysideError("queue_full", "Full.", { status: 429, retryAfterMs: 60_000 })],
  ])("heeds Retry-After of %s: nothing hurries it, and nobody is refused", async (_, fault) => {
    const { remote, tab, clock } = bound(open());
    remote.faults.push(refuse(fault));
    const { outbox, mail } = tab();
    const waits: number[] = [];
    outbox.on("error", ({ retryInMs }) => waits.push(retryInMs));
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(waits).toEqual([60_000]));
    await mail.addJob("email", 1);
    outbox.forward();
    await clock.advance(59_999);
    await couldHaveSent(outbox);
    expect(remote.sent).toHaveLength(1);
    await clock.advance(1);
    await delivered(outbox);
    expect(remote.sent.map(({ ids }) => ids.length)).toEqual([1, 1, 1]);
    expect(await outbox.state()).toMatchObject({ failed: 0 });
  });

  it("is on disk before an add resolves, whatever the durability of the local driver", async () => {
    const { remote, tab } = bound(open());
    remote.outage = down;
    const { mail } = tab();
    const asked = vi.spyOn(IDBDatabase.prototype, "transaction");
    await mail.addJob("email", 0);
    expect(asked.mock.calls.length).toBeGreaterThan(0);
    for (const [, , options] of asked.mock.calls) expect(options).toEqual({ durability: "strict" });
  });

  it("forwards each queue by itself: one that is refused or throttled holds up no other", async () => {
    const { remote, tab } = bound(open());
    const { outbox, mail } = tab();
    remote.faults.push(refuse(network({ retryAfterMs: 60_000 })));
    const forwarded: string[] = [];
    outbox.on("forwarded", ({ queue }) => forwarded.push(queue));
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(remote.sent).toHaveLength(1));
    await outbox.enqueue([{ queue: "logs", name: "email", payload: "1" }]);
    await vi.waitFor(() => expect(forwarded).toEqual(["logs"]));
    expect((await outbox.state()).pending).toBe(1);
  });

  it("bounds a batch by what one request may bring", async () => {
    const { remote, tab } = bound(open());
    const { outbox, mail } = tab();
    await mail.addJobs(order(20).map((n) => ({ name: "email", payload: `${n} ${"ñ".repeat(50_000)}` })));
    await delivered(outbox);
    expect(remote.sent.map(({ ids }) => ids.length)).toEqual([8, 8, 4]);
    await remote.work();
    expect(remote.handled.map((payload) => Number.parseInt(`${payload}`, 10))).toEqual(order(20));
  });

  it("keeps names of any length apart", async () => {
    const { remote, tab } = bound(open());
    const { outbox } = tab({ partition: "ü".repeat(200) });
    const queues = ["a/b", "a%2Fb", "q".repeat(256), `${"q".repeat(255)}r`];
    await outbox.enqueue(queues.map((queue, n) => ({ queue, name: "email", payload: `${n}` })));
    await delivered(outbox);
    for (const [n, queue] of queues.entries()) {
      const { jobs } = await remote.driver.list({ queue });
      expect(jobs.map(({ payload }) => payload)).toEqual([n]);
    }
  });

  it("refuses what a remote could only refuse later", async () => {
    const { tab } = bound(open());
    const { outbox, mail } = tab();
    for (const dots of [".", ".."]) {
      const refusal = { code: "invalid_option", message: expect.stringContaining("must not be . or ..") };
      await expect(mail.addJob("email", 0, { id: dots })).rejects.toMatchObject(refusal);
      await expect(outbox.enqueue([{ queue: dots, name: "email", payload: "0" }])).rejects.toMatchObject(refusal);
    }
    await expect(
      mail.addFlow({ name: "email", payload: 0, children: [{ name: "email", payload: 1 }] }),
    ).rejects.toMatchObject({
      code: "invalid_option",
      details: { option: "flow" },
    });
    await expect(outbox.enqueue([{ queue: "\ud800", name: "email", payload: "1" }])).rejects.toMatchObject({
      code: "invalid_option",
    });
    expect(() => tab({ partition: "" })).toThrow(expect.objectContaining({ details: { option: "partition" } }));
  });

  it("hands options on as they were given, and acts on none of them itself", async () => {
    const { remote, tab } = bound(open());
    remote.outage = down;
    const { outbox, mail } = tab();
    const options = {
      id: "own",
      priority: 7,
      tags: ["t"],
      maxAttempts: 9,
      backoff: ["1s", "2s"],
      timeout: "5s",
      dedupe: { key: "k" },
      group: { key: "g", limit: 3 },
      keep: { completed: 5 },
    } as const;
    await mail.addJob("email", { to: "ada" }, options);
    await vi.waitFor(() => expect(remote.sent).toHaveLength(1));
    remote.outage = undefined;
    outbox.forward();
    await delivered(outbox);
    expect(await remote.driver.get("mail", "own")).toMatchObject({
      payload: { to: "ada" },
      priority: 7,
      tags: ["t"],
      maxAttempts: 9,
      backoff: { kind: "list", delaysMs: [1_000, 2_000] },
      timeoutMs: 5_000,
      dedupe: { key: "k", mode: "drop" },
      group: { key: "g", limit: 3 },
    });
    expect(remote.sent.at(-1)?.jobs[0]).toMatchObject({ keep: { completed: 5 } });
  });
});

describe("a remote that refuses", () => {
  const invalid = (path: string, at?: string) =>
    new QuaysideError("invalid_payload", "Does not fit.", {
      status: 422,
      issues: [{ path, message: "Invalid email" }],
      ...(at && { at }),
    });

  it.each([
    ["place in the list", invalid("[0].to", "jobs[3]"), "[0].to"],
    ["field of the request", invalid("[3].payload.to"), "payload.to"],
  ])(
    "R26: the job that it names by a %s ends as failed, with what it said; the others are delivered, in order",
    async (_, refusal, path) => {
      const { remote, tab } = bound(open());
      const { outbox, mail } = tab();
      remote.faults.push(refuse(refusal));
      const refused: unknown[] = [];
      outbox.on("refused", (event) => refused.push(event));
      const ids = await mail.addJobs(emails(6));
      await delivered(outbox);
      const error = {
        code: "invalid_payload",
        message: "Does not fit.",
        details: { status: 422, issues: [{ path, message: "Invalid email" }] },
      };
      expect(refused).toMatchObject([{ queue: "mail", id: ids[3], error }]);
      expect(await mail.get(ids[3] as string)).toMatchObject({ state: "failed", payload: 3, queue: "mail", error });
      expect(await mail.counts()).toMatchObject({ waiting: 5, failed: 1 });
      expect((await mail.list({ state: "failed" })).jobs.map(({ id }) => id)).toEqual([ids[3]]);
      await expect(mail.waitFor(ids[3] as string)).rejects.toMatchObject({
        code: "invalid_payload",
        details: { status: 422 },
      });
      await remote.work();
      expect(remote.handled).toEqual([0, 1, 2, 4, 5]);
    },
  );

  it("R26: a batch that is refused for nobody knows whom is halved until it is one job", async () => {
    const { remote, tab } = bound(open());
    const { outbox, mail } = tab();
    const poison = (ids: readonly unknown[]) => ids.includes("bad");
    const original = remote.driver.enqueue.bind(remote.driver);
    vi.spyOn(remote.driver, "enqueue").mockImplementation(async (jobs, request) => {
      if (poison(jobs.map(({ id }) => id)))
        throw new QuaysideError("bad_request", "Something is wrong.", { status: 400 });
      return original(jobs, request);
    });
    await mail.addJobs(emails(100).map((job) => (job.payload === 37 ? { ...job, id: "bad" } : job)));
    await delivered(outbox);
    expect(await outbox.state()).toMatchObject({ pending: 0, failed: 1 });
    expect(await mail.get("bad")).toMatchObject({ state: "failed", error: { code: "bad_request" } });
    expect(remote.sent.length).toBeLessThan(20);
    await remote.work();
    expect(remote.handled).toEqual(order(100).filter((n) => n !== 37));
  });

  it("forbidden: the jobs end as failed, and an operator's retry forwards them again", async () => {
    const { remote, tab } = bound(open());
    const { outbox, mail } = tab();
    const code = "forbidden";
    remote.faults.push(refuse(new QuaysideError(code, "You may not.", { status: 403 })));
    const [a, b] = await mail.addJobs(emails(2));
    await vi.waitFor(async () => expect(await outbox.state()).toMatchObject({ pending: 0, failed: 2 }));
    expect(await mail.get(a as string)).toMatchObject({ state: "failed", error: { code, details: { status: 403 } } });
    expect(await mail.retry(a as string)).toMatchObject({ state: "waiting" });
    await outbox.command({ type: "retryAll", queue: "mail" });
    await vi.waitFor(async () => expect(await outbox.state()).toEqual({ pending: 0, failed: 0 }));
    expect(await mail.get(b as string)).toMatchObject({ state: "waiting", payload: 1 });
    await remote.work();
    expect(remote.handled).toEqual([0, 1]);
  });

  it("a refusal after a send whose answer was lost says that the job may have arrived", async () => {
    const { remote, tab, clock } = bound(open());
    const { outbox, mail } = tab();
    remote.faults.push(lost, refuse(new QuaysideError("forbidden", "No more.")));
    const id = await mail.addJob("email", 0);
    await vi.waitFor(() => expect(remote.sent).toHaveLength(1));
    await vi.waitFor(async () => expect((await outbox.state()).lastError).toBeDefined());
    await clock.advance(500);
    await vi.waitFor(async () => expect((await outbox.state()).failed).toBe(1));
    expect(await mail.get(id)).toMatchObject({ error: { code: "forbidden", details: { mayHaveArrived: true } } });
  });

  it("it says so too where an earlier page sent it, as the first batch of all", async () => {
    const { remote, tab } = bound(open());
    const first = tab();
    remote.faults.push(lost, refuse(new QuaysideError("forbidden", "No more.")));
    const id = await first.mail.addJob("email", 0);
    await vi.waitFor(async () => expect((await first.outbox.state()).lastError).toBeDefined());
    await first.outbox.close();
    const { outbox, mail } = tab();
    await vi.waitFor(async () => expect((await outbox.state()).failed).toBe(1));
    expect(await mail.get(id)).toMatchObject({ error: { code: "forbidden", details: { mayHaveArrived: true } } });
  });

  it("what is not the API's own word, or no answer that fits, refuses nobody", async () => {
    const { remote, tab, clock } = bound(open());
    const { outbox, mail } = tab();
    const errors: unknown[] = [];
    outbox.on("error", ({ error }) => errors.push((error as QuaysideError).code));
    remote.faults.push(
      refuse(new QuaysideError("bad_request", "The server answered 404.", { status: 404, bare: true })),
      async () => [],
      async () => ({ welcome: "to the portal" }) as never,
      refuse(new QuaysideError("internal", "Oh.", { status: 500 })),
      () => Promise.reject(new Error("Signed out.")),
    );
    await mail.addJob("email", 0);
    for (let n = 1; n <= 5; n++) {
      await vi.waitFor(() => expect(errors).toHaveLength(n));
      await clock.advance(300_000);
    }
    expect(errors).toEqual(["bad_request", "network", "network", "internal", undefined]);
    await delivered(outbox);
    expect((await outbox.state()).failed).toBe(0);
  });
});

/** With `tab` to be taken apart. */
const bound = (site: Site) => ({ remote: site.remote, clock: site.clock, tab: site.tab.bind(site), site });
