import { indexedDbDriver } from "@quayside/browser";
import { type Clock, systemClock } from "@quayside/core";
import { seededRandom } from "@quayside/testing";
import { endRecurrence, Host, Operator, Producer, prepare, remaining, type Stage, unfinished } from "../actors.ts";
import { FaultyDriver, Unanswered } from "../faults.ts";
import type { Left } from "../ledger.ts";
import type { Note, Sink } from "../notes.ts";

/** Functions of a tab that the soak calls. */
export interface SoakTab {
  prepare(): Promise<void>;
  /** Works the queue; the tab's label was given in its address. */
  work(concurrency: number): Promise<void>;
  stop(): Promise<void>;
  /** Adds jobs numbered from `first` until `quiet` is called. */
  produce(first: number, count: number): void;
  operate(): void;
  /** Stops adding and operating; resolves when the last action has ended. */
  quiet(): Promise<void>;
  unfinished(): Promise<number>;
  endRecurrence(): Promise<void>;
  remaining(): Promise<readonly Left[]>;
}

declare global {
  interface Window {
    soak: SoakTab;
    /** Keeps notes outside the browser. */
    note(notes: readonly Note[]): Promise<void>;
  }
}

const LEASE_MS = 10_000;
const query = new URLSearchParams(location.search);
const label = query.get("tab") as string;
const random = seededRandom(Number(query.get("seed")));

/** All tabs of a machine share its clock: its offset lies where each of them reads it at once. */
const clock: Clock = { ...systemClock, now: () => Date.now() + Number(localStorage.getItem("offsetMs") ?? 0) };
const sink: Sink = (...notes) => window.note(notes);
const unanswered = new Unanswered(clock, LEASE_MS, () => {
  void sink({ what: "unanswered", worker: label });
  return () => void sink({ what: "answered", worker: label });
});
const database = indexedDbDriver({ name: "soak", clock });
const { driver } = new FaultyDriver(database, random, { refused: 0, lost: 0 }, unanswered);
const stage: Stage = { driver, clock, random, sink, leaseMs: LEASE_MS };

const host = new Host(stage, label);
const operator = new Operator(stage);
const producer = new Producer(stage);
let busy: Promise<unknown>[] = [];

window.soak = {
  prepare: () => prepare(stage),
  work: (concurrency) => host.run({ concurrency, prefetch: random() < 0.5 ? 10 : 0 }),
  stop: () => host.queue.stop({ timeout: 0 }),
  produce(first, count) {
    busy.push(producer.run(first, { count, batch: 30, pauseMs: 60, isFarAhead: () => false }));
  },
  operate() {
    busy.push(operator.run(300));
  },
  async quiet() {
    producer.stop();
    operator.stop();
    await Promise.all(busy);
    busy = [];
  },
  unfinished: () => unfinished(stage),
  endRecurrence: () => endRecurrence(stage),
  remaining: () => remaining(stage),
};
