import { type Connectivity, UnrecoverableError } from "@quayside/core";
import { gather, heldHandler, next, QUEUE, topic } from "./support.ts";

const unreachable = () => {
  throw new TypeError("Failed to fetch");
};

/** Creates a network that the case switches on and off. With `lies`, it always reports online. */
function network({
  online = true,
  lies = false,
}: {
  readonly online?: boolean | undefined;
  readonly lies?: boolean | undefined;
} = {}) {
  const listeners = new Set<() => void>();
  const state = { online };
  const set = (to: boolean) => {
    state.online = to;
    if (!lies) for (const listener of listeners) listener();
  };
  const connectivity: Connectivity = {
    isOnline: () => lies || state.online,
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const probes: boolean[] = [];
  return {
    connectivity,
    probing: {
      ...connectivity,
      probe: async () => {
        probes.push(state.online);
        return state.online;
      },
    },
    probes,
    set,
    listeners,
    fetch: () => (state.online ? "fetched" : unreachable()),
  };
}

const job = { requires: "network" } as const;

/** Test cases about jobs that require the network, while offline. */
export const networkCases = topic("network", (it) => {
  it("R28: a connectivity that throws, or rejects, is reported and stops no worker", async ({ expect, queue }) => {
    const broken = () => {
      throw new Error("no network stack");
    };
    const rejects = async () => broken();
    for (const connectivity of [
      { isOnline: broken, watch: broken },
      { isOnline: () => true, watch: () => broken },
      { isOnline: rejects, watch: rejects },
    ]) {
      const mail = queue();
      const errors = gather(mail, "error");
      mail.on("job:email", (_, { attempt }) => {
        if (attempt === 1) throw new Error("busy");
      });
      const completed = next(mail, "completed");
      await mail.run({ connectivity: connectivity as unknown as Connectivity });
      await mail.addJob("email", null, { ...job, backoff: 0 });
      await completed;
      await mail.stop();
      expect(errors.length).toBeGreaterThan(0);
    }
  });

  it("R13: a failure while offline gives the job back and spends no attempt, however often", async ({
    advance,
    expect,
    queue,
  }) => {
    const { connectivity, fetch } = network({ online: false });
    const mail = queue();
    mail.on("job:email", fetch);
    const id = await mail.addJob("email", null, { ...job, maxAttempts: 1 });
    const failed = gather(mail, "failed");
    let released = next(mail, "released");
    await mail.run({ connectivity });
    for (let times = 1; times <= 12; times++) {
      const { delayMs } = await released;
      expect(delayMs).toBeGreaterThanOrEqual(Math.min(30_000, 500 * 2 ** (times - 1)));
      expect(delayMs).toBeLessThanOrEqual(60_000);
      expect(await mail.get(id)).toMatchObject({ attempts: 0, exceptions: 0, requires: "network" });
      released = next(mail, "released");
      await advance(delayMs);
    }
    expect(failed).toEqual([]);
  });

  it("R13: when the network is back the job is tried at once, not when its delay is over", async ({
    expect,
    queue,
    under,
  }) => {
    const { connectivity, fetch, set } = network({ online: false });
    const mail = queue();
    mail.on("job:email", fetch);
    await mail.addJob("email", null, job);
    const released = next(mail, "released");
    await mail.run({ connectivity });
    await released;
    const at = under.clock.now();
    const completed = next(mail, "completed");
    set(true);
    expect((await completed).job.attempts).toBe(1);
    expect(under.clock.now()).toBe(at);
  });

  it("a job is never held back because the platform says that it is offline", async ({ expect, queue }) => {
    const { connectivity } = network({ online: false });
    const mail = queue();
    mail.on("job:email", () => "there is a way");
    await mail.addJob("email", null, job);
    const completed = next(mail, "completed");
    await mail.run({ connectivity });
    expect((await completed).result).toBe("there is a way");
  });

  it("R13: a failure while online is the job's own, and so is any failure of a job that requires nothing", async ({
    expect,
    queue,
  }) => {
    const { connectivity, set } = network();
    const mail = queue();
    mail.on("job:email", unreachable);
    const failed = gather(mail, "failed");
    await mail.addJob("email", "online", { ...job, maxAttempts: 1 });
    let next_ = next(mail, "failed");
    await mail.run({ connectivity });
    await next_;
    set(false);
    next_ = next(mail, "failed");
    await mail.addJob("email", "plain", { maxAttempts: 1 });
    await next_;
    expect(failed.map((event) => event.job.payload)).toEqual(["online", "plain"]);
  });

  it("R13: what a handler decides itself stands, network or not", async ({ expect, queue }) => {
    const { connectivity } = network({ online: false });
    const mail = queue();
    mail.on("job:email", () => {
      throw new UnrecoverableError("no such address");
    });
    const id = await mail.addJob("email", null, job);
    const failed = next(mail, "failed");
    await mail.run({ connectivity });
    await failed;
    expect(await mail.get(id)).toMatchObject({ state: "failed", attempts: 1 });
  });

  it("R13: an outage that was over before the handler failed is an outage all the same", async ({ expect, queue }) => {
    const { connectivity, set } = network();
    const mail = queue();
    let runs = 0;
    mail.on("job:email", () => {
      if (runs++ > 0) return "fetched";
      set(false);
      set(true);
      return unreachable();
    });
    const id = await mail.addJob("email", null, { ...job, maxAttempts: 1 });
    const released = next(mail, "released");
    await mail.run({ connectivity });
    await released;
    expect((await mail.get(id))?.attempts).toBe(0);
  });

  it("R12: a timeout while offline gives the job back", async ({ advance, expect, queue }) => {
    const { connectivity, set } = network();
    const mail = queue();
    const { run, begun, aborted } = heldHandler({ heeds: true });
    mail.on("job:email", run);
    const id = await mail.addJob("email", null, { ...job, maxAttempts: 1, timeout: "10s" });
    const released = next(mail, "released");
    await mail.run({ connectivity });
    await begun;
    set(false);
    await advance(10_000);
    await aborted;
    await released;
    expect(await mail.get(id)).toMatchObject({ attempts: 0, exceptions: 0 });
  });

  it("R13: behind a network that only looks as if it were there, the probe tells; it is asked again before the job runs again", async ({
    advance,
    expect,
    queue,
  }) => {
    const { probing, probes, fetch, set } = network({ online: false, lies: true });
    const mail = queue();
    let runs = 0;
    mail.on("job:email", () => {
      runs++;
      return fetch();
    });
    await mail.addJob("email", null, { ...job, maxAttempts: 1 });
    let released = next(mail, "released");
    await mail.run({ connectivity: probing });
    for (let times = 0; times < 3; times++) {
      const { delayMs } = await released;
      released = next(mail, "released");
      await advance(delayMs);
    }
    await released;
    expect(runs).toBe(1);
    expect(probes).toEqual([false, false, false, false]);
    set(true);
    const completed = next(mail, "completed");
    await advance(60_000);
    expect((await completed).job.attempts).toBe(1);
    expect(runs).toBe(2);
  });

  it("R13: a probe that throws, or does not answer in time, is a no", async ({ advance, expect, queue }) => {
    const { connectivity } = network({ lies: true });
    let probes = 0;
    const probe = () =>
      probes++ === 0 ? Promise.reject(new TypeError("Failed to fetch")) : new Promise<never>(() => {});
    const mail = queue();
    mail.on("job:email", unreachable);
    const id = await mail.addJob("email", null, { ...job, maxAttempts: 1 });
    const first = next(mail, "released");
    await mail.run({ connectivity: { ...connectivity, probe } });
    const { delayMs } = await first;
    const second = next(mail, "released");
    await advance(delayMs);
    for (let round = 0; probes < 2 && round < 1_000; round++) await mail.counts();
    await advance(5_000);
    await second;
    expect((await mail.get(id))?.attempts).toBe(0);
  });

  it("jobs that fail together ask the probe once", async ({ expect, queue }) => {
    const { probing, probes, fetch } = network({ online: false, lies: true });
    const mail = queue();
    mail.on("job:email", fetch);
    await mail.addJobs(Array.from({ length: 10 }, (_, payload) => ({ name: "email", payload, ...job })));
    const all = new Promise<void>((resolve) => {
      let released = 0;
      mail.on("released", () => ++released === 10 && resolve());
    });
    await mail.run({ concurrency: 10, connectivity: probing });
    await all;
    expect(probes).toEqual([false]);
  });

  it("a worker that has stopped watches the network no more", async ({ driver, expect, worker }) => {
    const { connectivity, listeners } = network();
    const one = worker(driver, { connectivity, queues: [{ name: QUEUE, run: () => {} }] });
    await one.start();
    expect(listeners.size).toBe(1);
    await one.stop();
    expect(listeners.size).toBe(0);
  });
});
