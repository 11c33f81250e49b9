import type { ChildFailure } from "@quayside/core";
import type { FlowPart, NewJob } from "@quayside/core/engine";

type FlowJob = Partial<NewJob> & { readonly name: string; readonly flow: FlowPart };

export const parent = (ref: string, job: Partial<NewJob> = {}): FlowJob => ({
  name: "parent",
  ...job,
  flow: { ref, ...job.flow },
});

export const child = (parentRef: string, job: Partial<NewJob> = {}): FlowJob => ({
  name: "child",
  ...job,
  flow: { parentRef, ...job.flow },
});

/** Creates a flow with this many levels of one job each. */
export const chain = (levels: number) =>
  Array.from({ length: levels }, (_, n) => ({
    name: n === levels - 1 ? "child" : "parent",
    flow: { ...(n > 0 && { parentRef: String(n - 1) }), ...(n < levels - 1 && { ref: String(n) }) },
  }));

export const ignore = { onFailure: "ignore" as ChildFailure };
