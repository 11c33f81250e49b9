import { type Clock, Timer } from "../engine/clock.ts";
import type { AttemptReport } from "../engine/verbs.ts";
import { cutText, describe } from "../job/cut-text.ts";
import { jsonBytes } from "../job/json.ts";
import * as LIMITS from "../job/limits.ts";

/** Shortest interval between exchanges that are made only to send reports, in ms. */
const REPORT_MS = 1_000;

/** Converts a logged value to the text that is stored, cut to its limit. */
export function logLine(text: unknown): string {
  const line = cutText(describe(text), LIMITS.logLineBytes);
  // Control characters take six bytes in JSON. The line as JSON is bounded, too.
  return jsonBytes(line) > LIMITS.logLineBytes + 20 ? cutText(line, LIMITS.logLineBytes / 6) : line;
}

/** Progress and log lines of running attempts that were not sent yet. */
export class Reports {
  readonly #reports = new Map<string, AttemptReport>();
  readonly #timer: Timer;
  readonly #due: () => void;

  constructor(clock: Clock, due: () => void) {
    this.#timer = new Timer(clock);
    this.#due = due;
  }

  /** Returns the approximate number of bytes that an attempt's report takes in an exchange. */
  bytesOf(token: string): number {
    const report = this.#reports.get(token);
    return report ? jsonBytes(report) : 0;
  }

  /** Removes and returns reports: those of the attempts `first`, and as many others as fit into one exchange. */
  take(first: readonly string[]): readonly AttemptReport[] {
    if (this.#reports.size === 0) return [];
    const taken: AttemptReport[] = [];
    let bytes = 0;
    for (const token of new Set([...first, ...this.#reports.keys()])) {
      const report = this.#reports.get(token);
      if (!report) continue;
      bytes += jsonBytes(report);
      if (taken.length > 0 && bytes > LIMITS.exchangeBytes && !first.includes(token)) break;
      taken.push(report);
      this.#reports.delete(token);
    }
    if (this.#reports.size > 0) this.#arm();
    return taken;
  }

  /** Puts back reports that an exchange did not store. They come before newer ones. */
  restore(reports: readonly AttemptReport[]): void {
    for (const report of reports) {
      const since = this.#reports.get(report.token);
      this.#reports.set(report.token, report);
      this.add(report.token, since ?? {});
    }
  }

  clear(): void {
    this.#reports.clear();
  }

  close(): void {
    this.#timer.disarm();
  }

  /** Adds progress and log lines to the report of an attempt. A new progress value replaces the previous one. */
  add(token: string, report: Partial<AttemptReport>): void {
    const before = this.#reports.get(token);
    // An attempt that logs faster than exchanges are sent keeps its last lines, like its job.
    const log = [...(before?.log ?? []), ...(report.log ?? [])].slice(-LIMITS.logLines);
    this.#reports.set(token, { ...before, ...report, token, ...(log.length > 0 && { log }) });
    this.#arm();
  }

  #arm(): void {
    if (this.#timer.armed) return;
    this.#timer.arm(REPORT_MS, () => {
      // Another exchange may have sent all reports.
      if (this.#reports.size > 0) this.#due();
    });
  }
}
