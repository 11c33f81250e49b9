import { type Json, LIMITS } from "@quayside/core";
import { cutText, describe } from "@quayside/core/engine";
import type { JobReport } from "./job-call.ts";

/** Maximum number of log lines in one report. The oldest are dropped, because a job stores no more. */
const LINES = 100;

/**
 * Sends progress and log lines to the object, one call at a time. Reports made during a call are sent together in the
 * next call.
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

  /** Adds a log line. Converts a value that is not text, and cuts a long line. */
  logged(line: unknown): void {
    this.#lines.push(cutText(describe(line), LIMITS.logLineBytes));
    if (this.#lines.length > LINES) this.#lines.shift();
    this.#flush();
  }

  /** Resolves when all reports have been sent. */
  async arrived(): Promise<void> {
    await this.#sending;
  }

  #flush(): void {
    this.#sending ??= this.#drain();
  }

  async #drain(): Promise<void> {
    // Reports made in the same task are sent together.
    await undefined;
    try {
      for (let report = this.#take(); report; report = this.#take()) await this.#send(report);
    } catch {
      // The connection to the object is lost; the attempt's signal aborts the handler.
    }
    // Runs synchronously after the last `#take`, so a later report starts the next call.
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
