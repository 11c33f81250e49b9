import { invalidOption, refused } from "../job/errors.ts";
import type { Handler } from "../job/handler.ts";
import type { JobHandler, JobMap, JobName } from "../job/job-types.ts";
import { callable, fields } from "../job/option-checks.ts";
import type { KernelQueue } from "./kernel-queue.ts";
import { partsOf } from "./queue-context.ts";

/** A handler for each job of a job map: the argument of `queue.handle`. */
export type JobHandlers<Jobs extends JobMap, Ctx extends object = object> = {
  readonly [Name in JobName<Jobs>]: JobHandler<Jobs, Name, Ctx>;
};

/** Registers handlers by job name, all or none: see `Queue.handle`. Returns a function that removes them. */
export function handle(
  queue: Pick<KernelQueue, "name" | "on">,
  handlers: Readonly<Record<string, Handler | undefined>>,
  options: { readonly partial?: boolean | undefined } = {},
): () => void {
  const { partial = false } = fields(options, "options", ["partial"]);
  if (typeof partial !== "boolean") throw refused("partial", "must be true or false", partial);
  const { registry } = partsOf(queue).context;
  const given = Object.entries(fields(handlers, "handlers")).filter(([, handler]) => handler !== undefined);
  for (const [name, handler] of given) {
    registry.check(name);
    callable(handler, `handlers.${name}`);
  }
  const names = new Set(given.map(([name]) => name));
  const left = partial ? [] : registry.unhandled(queue.name).filter((name) => !names.has(name));
  if (left.length > 0)
    throw invalidOption("handlers", `No handler for ${left.join(", ")}. Add one for each, or pass { partial: true }.`);
  const removals = given.map(([name, handler]) => queue.on(`job:${name}`, handler as never));
  return () => {
    for (const remove of removals) remove();
  };
}
