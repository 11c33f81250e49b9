import { aesGcm, QuaysideError, Queue } from "@quayside/core";
import { afterEach, describe, expect, it, vi } from "vitest";
import { couldHaveSent, delivered, down, emails, held, lost, refuse, Site, withoutLocks } from "./support/outbox.ts";

let sites: Site[] = [];
const open = () => track(new Site());
const track = (site: Site) => {
  sites.push(site);
  return { site, remote: site.remote, clock: site.clock, tab: site.tab.bind(site) };
};

afterEach(async () => {
  vi.restoreAllMocks();
  for (const site of sites) await site.close();
  sites = [];
});

const order = (count: number) => Array.from({ length: count }, (_, index) => index);
const failedOnce = (outbox: ReturnType<Site["tab"]>["outbox"]) =>
  new Promise<void>((resolve) => {
    const off = outbox.on("error", () => {
      off();
      resolve();
    });
  });

describe("R26: a batch", () => {
  it("R26: whose answer was lost is sent again as it was, and adds nothing, though its jobs are done and gone", async () => {
    const { remote, clock, tab } = open();
    remote.faults.push(lost, down, lost);
    const { outbox, mail } = tab();
    for (let n = 1; n <= 3; n++) {
      const failed = failedOnce(outbox);
      if (n === 1) await mail.addJobs(emails(300));
      else await clock.advance(300_000);
      await failed;
      await remote.work();
    }
    await clock.advance(300_000);
    await delivered(outbox);
    await remote.work();
    expect(remote.handled).toEqual(order(300));
    const [first, ...rest] = remote.sent;
    expect(rest.slice(0, 3)).toMatchObject(Array(3).fill({ ids: first?.ids, request: first?.request }));
    expect(rest.at(-1)?.request).toMatchObject({ sender: first?.request?.sender, number: 2 });
  });

  it("R26: in flight when its tab died is sent again as it was by the next, whatever was added or cancelled since", async () => {
    const { remote, tab } = open();
    remote.faults.push(lost);
    const first = tab();
    const failed = failedOnce(first.outbox);
    const ids = await first.mail.addJobs(emails(3));
    await failed;
    await remote.work();
    // More urgent, so that a fresh claim would take it first.
    await first.mail.addJob("email", 3, { priority: 9 });
    await first.mail.cancel(ids[1] as string);
    await first.outbox.close();
    const second = tab();
    await delivered(second.outbox);
    expect(remote.sent[1]).toMatchObject({ ids, request: remote.sent[0]?.request });
    await remote.work();
    expect(remote.handled).toEqual(order(4));
  });

  it("R26: has its delays recomputed each time it is sent, and its remaining time to live", async () => {
    const { remote, clock, tab } = open();
    remote.faults.push(down, down);
    const { outbox, mail } = tab();
    for (let n = 1; n <= 2; n++) {
      const failed = failedOnce(outbox);
      if (n === 1)
        await mail.addJobs([
          { name: "email", payload: 0, delay: "1m", expiresIn: "1h" },
          { name: "email", payload: 1, delay: 1_000 },
        ]);
      else await clock.advance(20_000);
      await failed;
    }
    clock.jump(-40_000);
    await clock.advance(30_000);
    await delivered(outbox);
    expect(remote.sent.map(({ jobs }) => jobs.map(({ delayMs, expiresInMs }) => [delayMs, expiresInMs]))).toEqual([
      [
        [60_000, 3_600_000],
        [1_000, undefined],
      ],
      [
        [40_000, 3_580_000],
        [undefined, undefined],
      ],
      [
        [50_000, 3_590_000],
        [undefined, undefined],
      ],
    ]);
    expect(new Set(remote.sent.map(({ request }) => request?.digest)).size).toBe(1);
  });

  it("R26: whose number was used for other jobs goes on under a new sender, same jobs, same ids", async () => {
    const { remote, clock, tab } = open();
    remote.faults.push(down);
    const { outbox, mail } = tab();
    const failed = failedOnce(outbox);
    const ids = await mail.addJobs(emails(3));
    await failed;
    const { sender = "", number = 0 } = remote.sent[0]?.request ?? {};
    await remote.driver.enqueue([{ queue: "mail", name: "email", payload: '"other"' }], {
      sender,
      number,
      digest: "other",
    });
    await clock.advance(1_000);
    await delivered(outbox);
    expect(remote.sent.at(-1)).toMatchObject({ ids, request: { number } });
    expect(remote.sent.at(-1)?.request?.sender).not.toBe(sender);
    await mail.addJob("email", 3);
    await delivered(outbox);
    expect(remote.sent.at(-1)?.request?.sender).toBe(remote.sent.at(-2)?.request?.sender);
    await remote.work();
    expect(remote.handled).toEqual(["other", ...order(4)]);
  });

  it.each(["cancel", "remove"] as const)(
    "R26: a %s in flight reaches the job after the answer, also when that was lost",
    async (type) => {
      const { remote, clock, tab } = open();
      remote.faults.push(lost);
      const { outbox, mail } = tab();
      const failed = failedOnce(outbox);
      const [a, b] = await mail.addJobs(emails(2));
      await failed;
      expect(await mail[type](a as string)).toMatchObject({ affected: 1, state: "active" });
      expect(await mail[type](a as string)).toMatchObject({ affected: 0 });
      expect(remote.commands).toEqual([]);
      await clock.advance(1_000);
      await vi.waitFor(() => expect(remote.commands).toEqual([{ type, queue: "mail", id: a }]));
      expect((await remote.driver.get("mail", a as string))?.state).toBe(type === "cancel" ? "cancelled" : undefined);
      expect((await mail.get(b as string))?.state).toBe("waiting");
      expect(await outbox.state()).toEqual({ pending: 0, failed: 0 });
    },
  );

  it("R26: a cancel in flight holds too when the remote refuses the job", async () => {
    const { remote, tab } = open();
    const answer = held(refuse(new QuaysideError("invalid_payload", "No.")));
    remote.faults.push(answer.fault);
    const { outbox, mail } = tab();
    const id = await mail.addJob("email", 0);
    await answer.arrived;
    await mail.cancel(id);
    answer.release();
    await delivered(outbox);
    expect(await mail.get(id)).toMatchObject({ state: "cancelled" });
  });

  it("R26: what was not sent yet is cancelled, removed, changed and promoted here", async () => {
    const { remote, clock, tab } = open();
    remote.outage = down;
    const { outbox, mail } = tab();
    const failed = failedOnce(outbox);
    await mail.addJob("email", 0);
    await failed;
    const [a, b, c, d] = (await mail.addJobs(emails(4, 1).map((job) => ({ ...job, delay: "1h" as const })))) as [
      string,
      string,
      string,
      string,
    ];
    expect(await mail.cancel(a)).toEqual({ affected: 1, state: "cancelled" });
    expect(await mail.remove(b)).toEqual({ affected: 1 });
    await outbox.command({ type: "update", queue: "mail", id: c, payload: '"new"', priority: 5, delayMs: 60_000 });
    expect(await mail.get(c)).toMatchObject({ payload: "new", priority: 5, availableAt: clock.now() + 60_000 });
    expect(await mail.promote(d)).toMatchObject({ affected: 1 });
    remote.outage = undefined;
    await clock.advance(1_000);
    await delivered(outbox);
    expect(remote.sent.at(-1)?.jobs).toMatchObject([
      { id: c, payload: '"new"', priority: 5, delayMs: 59_000 },
      { id: d, payload: "4" },
    ]);
    expect(remote.sent.at(-1)?.jobs[1]).not.toHaveProperty("delayMs");
  });
});

it("R36: an encrypted job that was not sent yet stays encrypted when it is changed and moved, here and on its way", async () => {
  const { remote, clock, tab } = open();
  remote.outage = down;
  const { outbox, mail } = tab();
  const failed = failedOnce(outbox);
  await mail.addJob("email", 0);
  await failed;
  const key = new Uint8Array(32).fill(1);
  const encryption = aesGcm({ keys: { k1: key }, current: "k1" });
  const vault = new Queue("mail", outbox, { clock, encryption, defaults: { encrypted: true } });
  const secret = "4111 1111";
  const id = await vault.addJob("email", "draft", { delay: "1h" });
  await vault.update(id, { payload: { card: secret } });
  await vault.update(id, { priority: 5, delay: "1m" });
  await vault.promote(id);
  const shown = await outbox.get("mail", id);
  expect(shown).toMatchObject({ sealed: true, priority: 5, payload: { "quayside:sealed": 1 } });
  expect(JSON.stringify(await outbox.list({ queue: "mail" }))).not.toContain(secret);
  expect(await vault.get(id)).toMatchObject({ payload: { card: secret }, sealed: true });
  remote.outage = undefined;
  await clock.advance(60_000);
  await delivered(outbox);
  const sent = remote.sent.at(-1)?.jobs ?? [];
  expect(sent).toMatchObject([{ id, priority: 5, sealed: true }]);
  expect(JSON.stringify(remote.sent)).not.toContain(secret);
  expect(JSON.parse(sent[0]?.payload ?? "null")).toEqual(shown?.payload);
});

describe("R27: nothing is forwarded twice", () => {
  it("R27: by a frozen tab that thaws with an answer outstanding, after others went on", async () => {
    withoutLocks();
    const { remote, tab } = open();
    // 1. The first tab sends its batch; the remote does it; before the answer comes, the tab freezes.
    const answer = held();
    remote.faults.push(answer.fault);
    const frozen = tab();
    await frozen.mail.addJobs(emails(3));
    await answer.arrived;
    // 2. The jobs run there and nothing is kept of them.
    await remote.work();
    // 3. Another tab goes on: the same batch, then two more.
    const other = tab();
    await delivered(other.outbox);
    for (const from of [3, 6]) {
      await other.mail.addJobs(emails(3, from));
      await delivered(other.outbox);
      await remote.work();
    }
    // 4. The first thaws: its answer comes, and it carries on as if nothing had been.
    answer.release();
    await frozen.mail.addJob("email", 9);
    await delivered(frozen.outbox);
    await remote.work();
    expect(remote.handled).toEqual(order(10));
  });

  it("R27: by a frozen tab whose answer was lost, and that sends its batch again long after", async () => {
    withoutLocks();
    const { remote, clock, tab } = open();
    const answer = held(lost);
    remote.faults.push(answer.fault);
    const frozen = tab();
    await frozen.mail.addJobs(emails(3));
    await answer.arrived;
    await remote.work();
    const other = tab();
    await delivered(other.outbox);
    await other.mail.addJobs(emails(3, 3));
    await delivered(other.outbox);
    await remote.work();
    const failed = failedOnce(frozen.outbox);
    answer.release();
    await failed;
    await clock.advance(86_400_000);
    await frozen.mail.addJob("email", 6);
    await delivered(frozen.outbox);
    await remote.work();
    expect(remote.handled).toEqual(order(7));
  });

  it("R27: by tabs that all forward at once, each believing to have the turn, with answers lost on the way", async () => {
    withoutLocks();
    const { remote, clock, tab } = open();
    const tabs = [tab(), tab(), tab()];
    remote.faults.push(
      lost,
      lost,
      (go) => go(),
      lost,
      (go) => go(),
      (go) => go(),
      lost,
    );
    for (let n = 0; n < 10; n++) await tabs[n % 3]?.mail.addJobs(emails(50, n * 50));
    for (const { outbox } of tabs) {
      await vi.waitFor(async () => {
        await clock.advance(300_000);
        await remote.work();
        expect((await outbox.state()).pending).toBe(0);
      });
    }
    await remote.work();
    expect(remote.handled).toHaveLength(500);
    expect(new Set(remote.handled).size).toBe(500);
  });

  it("R27: of duplicated tabs one has the turn, and the other when that one goes", async () => {
    const { remote, tab } = open();
    const original = tab();
    await original.mail.addJob("email", 0);
    await delivered(original.outbox);
    const duplicate = tab();
    const heard: string[] = [];
    original.outbox.on("forwarded", () => heard.push("original"));
    duplicate.outbox.on("forwarded", () => heard.push("duplicate"));
    await duplicate.mail.addJob("email", 1);
    await delivered(duplicate.outbox);
    await original.outbox.close();
    await duplicate.mail.addJob("email", 2);
    await delivered(duplicate.outbox);
    expect(heard).toEqual(["original", "duplicate"]);
    await remote.work();
    expect(remote.handled).toEqual(order(3));
  });

  it("R27: a tab that has the turn and does not move loses it to one whose job has waited for a minute", async () => {
    const { remote, clock, site, tab } = open();
    // Nobody's outbox: it holds the lock and does nothing, as a suspended tab does.
    const lock = `quayside:${site.name}:outbox/default@unnamed`;
    const stolen = navigator.locks.request(lock, () => new Promise(() => {})).catch((error: unknown) => error);
    const { outbox, mail } = tab();
    await mail.addJob("email", 0);
    await clock.advance(59_999);
    await couldHaveSent(outbox);
    expect((await outbox.state()).pending).toBe(1);
    await clock.advance(1);
    await delivered(outbox);
    expect(await stolen).toMatchObject({ name: "AbortError" });
    await remote.work();
    expect(remote.handled).toEqual([0]);
  });

  it("R27: by a restored profile with a batch in flight, however far the original had gone on", async () => {
    const { remote, clock, site, tab } = open();
    // 1. A batch is in flight, its answer lost, and another stands behind it, when the profile is copied.
    remote.faults.push(lost);
    const first = tab();
    const failed = failedOnce(first.outbox);
    await first.mail.addJobs(emails(400));
    await failed;
    const copy = track(await site.copy());
    // 2. The original delivers all of it, and more; everything runs and is pruned.
    await clock.advance(1_000);
    await delivered(first.outbox);
    await first.mail.addJobs(emails(5, 400));
    await delivered(first.outbox);
    await remote.work();
    // 3. The copy counts through its numbers again, and then has a job of its own under a number that was used.
    const second = copy.tab();
    await delivered(second.outbox);
    await second.mail.addJob("email", "of the copy");
    await delivered(second.outbox);
    // 4. So does the original.
    await first.mail.addJob("email", "of the original");
    await delivered(first.outbox);
    await remote.work();
    expect(remote.handled).toEqual([...order(405), "of the copy", "of the original"]);
  });
});
