import { everything } from "@quayside/core";
import { MemoryStore, StoreDriver } from "@quayside/core/engine";
import { createManualClock, seededRandom } from "@quayside/testing";
import {
  endRecurrence,
  Host,
  Operator,
  Producer,
  pause,
  prepare,
  remaining,
  type Stage,
  unfinished,
} from "./actors.ts";
import { FaultyDriver, Unanswered } from "./faults.ts";
import { Ledger } from "./ledger.ts";
import type { Sink } from "./notes.ts";
import type { SoakOptions, SoakResult } from "./run.ts";

const YEAR_MS = 365 * 86_400_000;
const LEASE_MS = 2_000;
const WORKERS = 4;
const PRODUCERS = 2;
/** The queue is stuck when it makes no progress for so long, in simulated ms: longer than any backoff of its jobs. */
const STUCK_MS = 300_000;
/** The work that is left when the adds are over takes a tenth of it. */
const LONGEST_END_MS = 3_600_000;
/** From this step on the first process that is seen running jobs is killed; other troubles come after it. */
const FIRST_KILL = 10;
/** The event loop gets a turn after each step. */
const STEP_MS = 20;

/** A process that dies as a whole. */
interface Process {
  readonly label: string;
  readonly faults: FaultyDriver;
  readonly host: Host;
  /** Resolves when it is killed: from then on its calls are never answered. */
  readonly killed: Promise<void>;
  readonly kill: () => void;
}

/** The memory store on simulated time: processes die, are cut off, lose answers, and the clock jumps. */
export async function soakMemory({ jobs, until, seed }: SoakOptions): Promise<SoakResult> {
  const random = seededRandom(seed);
  const clock = createManualClock();
  const store = new MemoryStore();
  const ledger = new Ledger();
  const keep: Sink = async (...notes) => ledger.keep(notes);
  const rates = { refused: 0.01, lost: 0.01 };
  const connect = (unanswered?: Unanswered) =>
    new FaultyDriver(new StoreDriver(store.connect(), { plugins: everything(), clock }), random, rates, unanswered);
  const stage = ({ driver }: FaultyDriver, sink: Sink = keep): Stage => ({
    driver,
    clock,
    random,
    sink,
    leaseMs: LEASE_MS,
  });
  const calm = new FaultyDriver(new StoreDriver(store.connect(), { plugins: everything(), clock }), random, {
    refused: 0,
    lost: 0,
  });
  await prepare(stage(calm));

  let count = 0;
  const processes = new Set<Process>();
  const start = async () => {
    const label = `process ${++count}`;
    const faults = connect(
      new Unanswered(clock, LEASE_MS, () =>
        ledger.disturbUntil(label, "left without an answer for a third of its lease"),
      ),
    );
    // The handlers of a dead process write nothing more, and never return.
    const sink: Sink = (...notes) => (faults.dead ? new Promise(() => {}) : keep(...notes));
    const host = new Host(stage(faults, sink), label);
    const { promise: killed, resolve: kill } = Promise.withResolvers<void>();
    processes.add({ label, faults, host, killed, kill });
    await Promise.race([host.run({ concurrency: 20, prefetch: count % 2 === 0 ? 20 : 0 }), killed]);
  };
  for (let worker = 0; worker < WORKERS; worker++) void start();

  const producers = Array.from({ length: PRODUCERS }, () => ({ faults: connect() })).map(({ faults }) => ({
    faults,
    producer: new Producer(stage(faults)),
  }));
  const share = Math.ceil(jobs / PRODUCERS);
  let producing = PRODUCERS;
  producers.forEach(({ producer }, index) => {
    void producer
      .run(index * share, { count: share, batch: 200, pauseMs: 60, isFarAhead: () => ledger.ahead > 2_000 })
      .then(() => producing--);
  });
  const operator = new Operator(stage(connect()));
  const operating = operator.run(100);

  const one = () => [...processes][Math.floor(random() * processes.size)] as Process;
  let jumped = 0;
  const kill = async (victim: Process) => {
    ledger.disturb(victim.label, "killed");
    victim.faults.dead = true;
    victim.kill();
    processes.delete(victim);
    await start();
  };
  const troubles = [
    () => kill(one()),
    async () => {
      const { faults, label } = one();
      // What it holds may have been given to others until the moment it is heard again.
      const over = ledger.disturbUntil(label, "cut off for longer than its lease");
      faults.cut = true;
      await pause(clock, LEASE_MS * 3);
      faults.cut = false;
      // Until it has been heard it may start jobs that it holds ahead: it sends again after 15 s at the latest.
      await pause(clock, 15_000);
      over();
    },
    async () => {
      const { faults, host, label, killed } = one();
      const over = ledger.disturbUntil(label, "stopped");
      await Promise.race([host.queue.stop({ timeout: 0 }), killed]);
      over();
      if (!faults.dead) await Promise.race([host.run({ concurrency: 20 }), killed]);
    },
    async () => {
      // Out and back again: a clock that was wrong for a while.
      const by = jumped === 0 ? (random() < 0.5 ? YEAR_MS : -YEAR_MS) : -jumped;
      jumped += by;
      clock.jump(by);
    },
    async () => {
      for (const { faults } of producers) faults.full = true;
      await pause(clock, 500);
      for (const { faults } of producers) faults.full = false;
    },
  ];

  const running = new Set<Promise<void>>();
  const advance = async (ms: number) => {
    await clock.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
  };
  let progress = ledger.progress;
  let idleMs = 0;
  let killed = false;
  for (let step = 0; producing > 0 && until() && idleMs < STUCK_MS; step++) {
    await advance(STEP_MS);
    idleMs = ledger.progress === progress ? idleMs + STEP_MS : 0;
    progress = ledger.progress;
    const busy = killed ? undefined : [...processes].find(({ host }) => host.active > 0);
    // A trouble every half second of simulated time, on the average. The first is a kill, so that a short soak has one.
    if (killed ? random() < STEP_MS / 500 : busy && step >= FIRST_KILL) {
      killed = true;
      const act = busy ? () => kill(busy) : (troubles[Math.floor(random() * troubles.length)] as () => Promise<void>);
      const trouble = act().catch((error) => ledger.violation("wrong answer", `a trouble ended with ${error}`));
      running.add(trouble);
      void trouble.then(() => running.delete(trouble));
    }
  }

  for (const { producer, faults } of producers) {
    producer.stop();
    faults.rates = { refused: 0, lost: 0 };
  }
  operator.stop();
  if (jumped !== 0) clock.jump(-jumped);
  for (const { faults } of processes) faults.rates = { refused: 0, lost: 0 };
  let over = false;
  const end = (async () => {
    await Promise.all([operating, ...running]);
    await endRecurrence(stage(calm));
    while ((await unfinished(stage(calm))) > 0) await pause(clock, 1_000);
    over = true;
  })();
  // Recurrences are progress, too: a trouble that does not end must not let them go on for ever.
  let waitedMs = 0;
  for (idleMs = 0; !over && idleMs < STUCK_MS; waitedMs += 200) {
    await advance(200);
    if (waitedMs > LONGEST_END_MS) {
      ledger.violation("stuck", `${running.size} troubles, or the work that is left, did not end`);
      break;
    }
    idleMs = ledger.progress === progress ? idleMs + 200 : 0;
    progress = ledger.progress;
  }
  if (over) await end;
  const verdict = ledger.verdict(await remaining(stage(calm)));
  return { home: "memory", ...verdict };
}
