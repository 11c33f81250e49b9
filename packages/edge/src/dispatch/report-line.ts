import { type Json, LIMITS } from "@quayside/core";
import { cutText, describe } from "@quayside/core/engine";
import type { JobReport } from "./job-call.ts";

/** Of what a handler logs in one go, so many lines are kept, the last: no more are kept with a job. */
const LINES = 100;

/**
 * Progress and logs on their way to the object, one call at a time: what is said while one is under way goes with the
 * next, so that a handler that talks a lot does not make a call of each word.
 */
export class ReportLine {
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

  /** A line that is no text is described; a long one is cut. */
  logged(line: unknown): void {
    this.#lines.push(cutText(describe(line), LIMITS.logLineBytes));
    if (this.#lines.length > LINES) this.#lines.shift();
    this.#flush();
  }

  /** Resolves when all of it has arrived. */
  async arrived(): Promise<void> {
    await this.#sending;
  }

  #flush(): void {
    this.#sending ??= this.#drain();
  }

  async #drain(): Promise<void> {
    // What is said in the same breath goes together.
    await undefined;
    try {
      for (let report = this.#take(); report; report = this.#take()) await this.#send(report);
    } catch {
      // The object is gone, and so is the attempt: its handler learns it from its signal.
    }
    // In the same step as the look that found nothing more: what is said from now on is sent anew.
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
