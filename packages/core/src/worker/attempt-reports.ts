import type { Json } from "../job/json.ts";
import type { AttemptReport } from "../store/verbs.ts";

/** Lines kept of what an attempt logs between two exchanges: no more are kept with a job. */
const LINES = 100;
const LINE_LENGTH = 2_000;

/** What running attempts have said since the last exchange: the last progress, the last lines. */
export class AttemptReports {
  readonly #values = new Map<string, Json>();
  readonly #lines = new Map<string, string[]>();

  get empty(): boolean {
    return this.#values.size === 0 && this.#lines.size === 0;
  }

  progressed(token: string, value: Json): void {
    this.#values.set(token, value);
  }

  /** Answers the line as it is kept. */
  logged(token: string, line: string): string {
    const kept = String(line).slice(0, LINE_LENGTH).toWellFormed();
    const lines = this.#lines.get(token) ?? [];
    this.#lines.set(token, lines);
    lines.push(kept);
    if (lines.length > LINES) lines.shift();
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
}
