import type { Clock } from "../driver/clock.ts";
import type { Json } from "../job/json.ts";
import type { AttemptReport } from "../store/verbs.ts";
import { Timer } from "./timer.ts";

/** Lines kept of what an attempt logs between two exchanges: no more are kept with a job. */
const LINES = 100;
const LINE_LENGTH = 2_000;
/** Reports are written at most this often, with the renewals. */
const REPORT_MS = 1_000;

/** What running attempts have said since the last exchange: the last progress, the last lines. */
export class AttemptReports {
  readonly #values = new Map<string, Json>();
  readonly #lines = new Map<string, string[]>();
  readonly #timer: Timer;
  readonly #due: () => void;

  /** @param due called when it is time to send what there is. */
  constructor(clock: Clock, due: () => void) {
    this.#timer = new Timer(clock);
    this.#due = due;
  }

  progressed(token: string, value: Json): void {
    this.#values.set(token, value);
    this.#arm();
  }

  /** Answers the line as it is kept. */
  logged(token: string, line: string): string {
    const kept = String(line).slice(0, LINE_LENGTH).toWellFormed();
    const lines = this.#lines.get(token) ?? [];
    this.#lines.set(token, lines);
    lines.push(kept);
    if (lines.length > LINES) lines.shift();
    this.#arm();
    return kept;
  }

  /** All of it, to be sent; then it is forgotten. */
  take(): readonly AttemptReport[] {
    const tokens = new Set([...this.#values.keys(), ...this.#lines.keys()]);
    const reports = [...tokens].map((token) => {
      const value = this.#values.get(token);
      const log = this.#lines.get(token);
      return { token, ...(value !== undefined && { value }), ...(log && { log }) };
    });
    this.clear();
    return reports;
  }

  clear(): void {
    this.#values.clear();
    this.#lines.clear();
  }

  /** It will not be time to send anything, until there is more. */
  close(): void {
    this.#timer.disarm();
  }

  #arm(): void {
    if (this.#timer.armed) return;
    this.#timer.arm(REPORT_MS, () => {
      // A round that had another reason may have taken all.
      if (this.#values.size + this.#lines.size > 0) this.#due();
    });
  }
}
