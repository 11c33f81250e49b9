import type { Clock } from "../driver/clock.ts";
import { DEFAULTS } from "../job/defaults.ts";
import { type Json, utf8Bytes } from "../job/json.ts";
import { LIMITS } from "../job/limits.ts";
import { cutText, describe } from "../job/text.ts";
import type { AttemptReport } from "../store/verbs.ts";
import { Timer } from "./timer.ts";

/** Reports are written at most this often, with the renewals. */
const REPORT_MS = 1_000;

/** Progress and log lines of one attempt since the last exchange. */
interface Report {
  value?: Json;
  lines: string[];
  /** Of value and lines, as JSON. */
  valueBytes: number;
  lineBytes: number[];
}

/** The progress and lines of log of running attempts that wait for an exchange. */
export class AttemptReports {
  readonly #reports = new Map<string, Report>();
  readonly #timer: Timer;
  readonly #due: () => void;

  /** @param due called when it is time to send what there is. */
  constructor(clock: Clock, due: () => void) {
    this.#timer = new Timer(clock);
    this.#due = due;
  }

  progressed(token: string, value: Json): void {
    const report = this.#of(token);
    report.value = value;
    report.valueBytes = jsonBytes(value);
    this.#arm();
  }

  /** Answers the line as it is kept. */
  logged(token: string, line: unknown): string {
    let kept = cutText(describe(line), LIMITS.logLineBytes);
    // Control characters take six bytes in JSON: what is stored is bounded as JSON, too.
    if (jsonBytes(kept) > LIMITS.logLineBytes + 20) kept = cutText(kept, LIMITS.logLineBytes / 6);
    const { lines, lineBytes } = this.#of(token);
    lines.push(kept);
    lineBytes.push(jsonBytes(kept));
    // An attempt that logs faster than exchanges go keeps its last lines, as its job does.
    if (lines.length > DEFAULTS.logLines) {
      lines.shift();
      lineBytes.shift();
    }
    this.#arm();
    return kept;
  }

  /** About how many bytes an attempt's report takes in an exchange. */
  bytesOf(token: string): number {
    const report = this.#reports.get(token);
    return report ? report.valueBytes + sum(report.lineBytes) : 0;
  }

  /** Takes the reports of `first`, and of the other attempts as many as fit beside them into one exchange. */
  take(first: readonly string[]): readonly AttemptReport[] {
    if (this.#reports.size === 0) return [];
    const taken: AttemptReport[] = [];
    let bytes = 0;
    const tokens = new Set([...first, ...this.#reports.keys()]);
    for (const token of tokens) {
      const report = this.#reports.get(token);
      if (!report) continue;
      bytes += this.bytesOf(token);
      if (taken.length > 0 && bytes > LIMITS.exchangeBytes && !first.includes(token)) break;
      const { value, lines } = report;
      taken.push({ token, ...(value !== undefined && { value }), ...(lines.length > 0 && { log: lines }) });
      this.#reports.delete(token);
    }
    if (this.#reports.size > 0) this.#arm();
    return taken;
  }

  /** They were not sent: puts them back, before what came since. */
  restore(reports: readonly AttemptReport[]): void {
    for (const { token, value, log = [] } of reports) {
      const since = this.#reports.get(token);
      const last = since?.value ?? value;
      const lines = [...log, ...(since?.lines ?? [])].slice(-DEFAULTS.logLines);
      this.#reports.set(token, {
        ...(last !== undefined && { value: last }),
        lines,
        valueBytes: last === undefined ? 0 : jsonBytes(last),
        lineBytes: lines.map(jsonBytes),
      });
    }
    this.#arm();
  }

  clear(): void {
    this.#reports.clear();
  }

  /** Does not call `due` until there is more to send. */
  close(): void {
    this.#timer.disarm();
  }

  #of(token: string): Report {
    const report = this.#reports.get(token) ?? { lines: [], valueBytes: 0, lineBytes: [] };
    this.#reports.set(token, report);
    return report;
  }

  #arm(): void {
    if (this.#timer.armed) return;
    this.#timer.arm(REPORT_MS, () => {
      // A round that had another reason may have taken all.
      if (this.#reports.size > 0) this.#due();
    });
  }
}

const jsonBytes = (value: Json): number => utf8Bytes(JSON.stringify(value), 0);
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
