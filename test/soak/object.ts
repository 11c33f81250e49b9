import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { seededRandom } from "@quayside/testing";
import { Runtime, type Workerd } from "../e2e/support/workerd.ts";
import { Host, Operator, Producer, pause, prepare, type Stage, untilDone } from "./actors.ts";
import { pick, type Random } from "./behaviour.ts";
import { Unanswered } from "./faults.ts";
import { calmOf, finish } from "./finish.ts";
import { Ledger } from "./ledger.ts";
import type { Cause, Sink } from "./notes.ts";
import type { Control } from "./object/soak-worker.ts";
import type { SoakOptions, SoakResult } from "./run.ts";
import { serveLedger } from "./sink-server.ts";

const YEAR_MS = 365 * 86_400_000;
const LEASE_MS = 10_000;
const REMOTE_WORKERS = 2;
const PRODUCERS = 2;
/** Between two troubles, on the average. */
const TROUBLE_MS = 1_500;

/** A network to the server that loses what it is told to. */
class Network {
  dead = false;
  cut = false;
  calm = false;
  readonly #random: Random;
  readonly #server: () => Workerd;
  readonly #unanswered: Unanswered;

  constructor(random: Random, server: () => Workerd, unanswered: Unanswered) {
    this.#random = random;
    this.#server = server;
    this.#unanswered = unanswered;
  }

  readonly fetch = async (url: string, init?: RequestInit): Promise<Response> => {
    if (!url.endsWith("/exchange")) return this.#send(url, init);
    this.#unanswered.sent();
    const response = await this.#send(url, init);
    if (response.ok) this.#unanswered.answered();
    return response;
  };

  async #send(url: string, init?: RequestInit): Promise<Response> {
    if (this.dead) return new Promise(() => {});
    const fate = this.calm ? 1 : this.#random();
    if (this.cut || fate < 0.01) throw new TypeError("refused");
    const { pathname, search } = new URL(url);
    const response = await fetch(`${this.#server().url}${pathname}${search}`, init);
    if (this.dead) return new Promise(() => {});
    const stream = response.headers.get("content-type")?.startsWith("text/event-stream");
    if (stream || fate > 0.02) return response;
    await response.arrayBuffer();
    return pick(this.#random, [
      () => {
        throw new TypeError("lost");
      },
      () => new Response("<html>Bad gateway</html>", { status: 502, headers: { "content-type": "text/html" } }),
      () => new Response(null, { status: 503, headers: { "retry-after": "0" } }),
    ])();
  }
}

/** A queue in a Durable Object on disk, worked by the object and over HTTP; process and object are killed. */
export async function soakObject({ jobs, until, seed }: SoakOptions): Promise<SoakResult> {
  const random = seededRandom(seed);
  const ledger = new Ledger();
  const keep: Sink = async (...notes) => ledger.keep(notes);
  const folder = await mkdtemp(join(tmpdir(), "quayside-soak-"));
  const sink = await serveLedger(ledger);
  const runtime = await Runtime.bundle("../../soak/object/wrangler.jsonc", folder);
  let server = await runtime.start();
  let control: Control = { sink: sink.url, object: 0, offsetMs: 0, full: false };

  const post = async (path: string, body?: object) => {
    const response = await fetch(`${server.url}${path}`, { method: "POST", body: JSON.stringify(body ?? {}) });
    if (!response.ok) throw new Error(`${path} answered ${response.status}.`);
  };
  const set = (next: Partial<Control>) => {
    control = { ...control, ...next };
    return untilDone(systemClock, () => post("/control", control));
  };
  /** Records that the object ends, and with it all runs of its worker, also those whose notes have not arrived. */
  const nextObject = (cause: Cause) => {
    control = { ...control, object: control.object + 1 };
    ledger.replaced("object ", `object ${control.object}.`, cause);
  };
  const connect = (label = "") => {
    const unanswered = new Unanswered(systemClock, LEASE_MS, () =>
      ledger.disturbUntil(label, "left without an answer for a third of its lease"),
    );
    const network = new Network(random, () => server, unanswered);
    const driver = httpDriver({ url: "http://soak.test/queues", token: "token", fetch: network.fetch, timeout: "5s" });
    return { network, driver };
  };
  const stage = (driver: Stage["driver"], to: Sink = keep): Stage => ({
    driver,
    clock: systemClock,
    random,
    sink: to,
    leaseMs: LEASE_MS,
  });
  const calm = connect();
  calm.network.calm = true;
  await set({});
  await prepare(stage(calm.driver));

  let count = 0;
  const remotes = new Set<{ label: string; network: Network; host: Host }>();
  const start = async () => {
    const label = `remote ${++count}`;
    const { network, driver } = connect(label);
    const host = new Host(
      stage(driver, (...notes) => (network.dead ? new Promise(() => {}) : keep(...notes))),
      label,
    );
    remotes.add({ label, network, host });
    await host.run({ concurrency: 20 });
  };
  for (let worker = 0; worker < REMOTE_WORKERS; worker++) void start().catch(() => {});

  const share = Math.ceil(jobs / PRODUCERS);
  let producing = PRODUCERS;
  const producers = Array.from({ length: PRODUCERS }, (_, index) => {
    const { network, driver } = connect();
    const producer = new Producer(stage(driver));
    void producer
      .run(index * share, { count: share, batch: 500, pauseMs: 40, isFarAhead: () => ledger.ahead > 5_000 })
      .then(() => producing--);
    return { network, producer };
  });
  const operator = new Operator(stage(connect().driver));
  const operating = operator.run(300);

  const one = () =>
    [...remotes][Math.floor(random() * remotes.size)] as { label: string; network: Network; host: Host };
  const troubles = [
    async () => {
      nextObject("restarted with its store");
      await server.kill();
      const began = performance.now();
      server = await runtime.start();
      await set({});
      // A machine that takes this long to start a process leaves remote workers alone for as long as a lease.
      if (performance.now() - began > LEASE_MS / 2) ledger.disturbAll("cut off for longer than its lease");
    },
    async () => {
      nextObject("killed");
      await set({});
      await post("/die").catch(() => {});
    },
    async () => {
      const victim = one();
      ledger.disturb(victim.label, "killed");
      victim.network.dead = true;
      remotes.delete(victim);
      await start();
    },
    async () => {
      const { network, label } = one();
      const over = ledger.disturbUntil(label, "cut off for longer than its lease");
      network.cut = true;
      await pause(systemClock, LEASE_MS * 1.5);
      network.cut = false;
      over();
    },
    async () => {
      ledger.clockJumped();
      await set({ offsetMs: control.offsetMs !== 0 ? 0 : random() < 0.5 ? YEAR_MS : -YEAR_MS });
      ledger.clockJumped();
    },
    async () => {
      await set({ full: true });
      await pause(systemClock, 500);
      await set({ full: false });
    },
  ];
  const running = new Set<Promise<void>>();
  while (producing > 0 && until()) {
    await pause(systemClock, random() * 2 * TROUBLE_MS);
    const trouble = pick(random, troubles)().catch((error) => ledger.violation("wrong answer", `a trouble: ${error}`));
    running.add(trouble);
    // One after the other, but for those that only wait: a killed process cannot be told of another trouble.
    await Promise.race([trouble, pause(systemClock, 10_000)]);
    void trouble.then(() => running.delete(trouble));
  }

  for (const { producer, network } of producers) {
    producer.stop();
    network.calm = true;
  }
  operator.stop();
  for (const { network } of remotes) network.calm = true;
  await Promise.all([operating, ...running]);
  await set({ offsetMs: 0, full: false });
  const verdict = await finish(calmOf(stage(calm.driver)), ledger);
  for (const { host } of remotes) await host.queue.stop({ timeout: 0 }).catch(() => {});
  await server.kill();
  sink.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  return { home: "object", ...verdict };
}
