import { QuaysideError } from "@quayside/core";

const number = new Intl.NumberFormat("en");

export const count = (value: number): string => number.format(value);

/** `1 picture`, `2 pictures`. */
export const plural = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** A stretch of time as one reads it at a glance: `48 ms`, `3.2 s`, `2 min`, `3 h`. */
export function span(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  if (ms < 60_000) return `${Math.round(ms / 1_000)} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}

/** How long it is until then, in whole seconds: it is read while it moves. */
export function countdown(ms: number): string {
  if (ms <= 0) return "now";
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 60) return `in ${seconds} s`;
  return seconds < 3_600 ? `in ${Math.floor(seconds / 60)} min ${seconds % 60} s` : `in ${span(ms)}`;
}

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const clock = (instant: number): string => time.format(instant);

export const pixels = (width: number, height: number): string => `${width} × ${height}`;

/** What to tell people. The message of a lost request names its address, which tells them nothing. */
export function messageOf(error: unknown): string {
  if (error instanceof QuaysideError && error.code === "network") return "The edge does not answer.";
  return error instanceof Error ? error.message : String(error);
}
