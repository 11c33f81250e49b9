import { type Json, LIMITS } from "@quayside/core";
import { cutText, describe } from "@quayside/core/engine";
import type { JobReport } from "./job-call.ts";

/** Most log lines per report, the last ones: a job stores no more. */
const LINES = 100;

/**
 * Sends progress and logs to the object, one call at a time. Reports made during a call go with the next one, so that a
 * handler that reports often does not make a call for each report.
 */
export class ReportSender {
  readonly #send: (report: JobReport) => Promise<void>;
  #progress: Json | undefined;
  #lines: string[] = [];
  #sending: Promise<void> | undefined;

  constructor(send: (report: JobReport) => Promise<void>) {
    this.#send = send;
  }

  progressed(value: Json): void {
    this.#progress = value;
    this.#flush();
  }

  /** Adds a log line. A value that is no text is described; a long line is cut. */
  logged(line: unknown): void {
    this.#lines.push(cutText(describe(line), LIMITS.logLineBytes));
    if (this.#lines.length > LINES) this.#lines.shift();
    this.#flush();
  }

  /** Resolves when all reports have arrived. */
  async arrived(): Promise<void> {
    await this.#sending;
  }

  #flush(): void {
    this.#sending ??= this.#drain();
  }

  async #drain(): Promise<void> {
    // Reports of one task go together.
    await undefined;
    try {
      for (let report = this.#take(); report; report = this.#take()) await this.#send(report);
    } catch {
      // The object is gone, and with it the attempt: its signal aborts the handler.
    }
    // In the same step as the last `#take`: a later report starts the next call.
    this.#sending = undefined;
  }

  #take(): JobReport | undefined {
    if (this.#progress === undefined && this.#lines.length === 0) return undefined;
    const report = {
      lines: this.#lines,
      ...(this.#progress !== undefined && { progress: this.#progress }),
    };
    this.#progress = undefined;
    this.#lines = [];
    return report;
  }
}
