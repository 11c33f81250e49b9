import {
  type ChildOutcome,
  type HandlerContext,
  isA,
  type JobRequest,
  type Json,
  LeaseLostError,
  type PublishRequest,
} from "@quayside/core";
import { failJob, Release, releaseJob, toBoundedJson, toJsonText } from "@quayside/core/engine";
import { unwrap } from "../rpc/queue-rpc.ts";
import type { JobCall, JobOutcome } from "./job-call.ts";
import { ReportSender } from "./report-sender.ts";
import { reviveFailure, sendFailure } from "./sent-failure.ts";

/** An attempt where its handler runs: what the handler's `ctx` does here, and what it asks of the object. */
export class ConsumerAttempt {
  readonly #call: JobCall;
  readonly #controller = new AbortController();
  readonly #reports: ReportSender;

  constructor(call: JobCall) {
    this.#call = call;
    this.#reports = new ReportSender((report) => call.link.report(report));
  }

  /** Never rejects: how the attempt ended is the answer. */
  async run(handle: (ctx: HandlerContext) => unknown): Promise<JobOutcome> {
    this.#listen();
    const end = await this.#end(handle);
    await this.#reports.arrived();
    return end;
  }

  async #end(handle: (ctx: HandlerContext) => unknown): Promise<JobOutcome> {
    try {
      const result = await handle(this.#context(await this.#children()));
      if (result === undefined) return { outcome: "completed" };
      // As text: RPC would turn functions into stubs, and refuse what has a `toJSON`.
      return { outcome: "completed", result: toBoundedJson(result, "result", "invalid_result") };
    } catch (error) {
      if (!isA(Release, error)) return { outcome: "failed", failure: sendFailure(error) };
      const { delayMs, fault } = error;
      return { outcome: "released", delayMs, ...(fault !== undefined && { fault: sendFailure(fault) }) };
    }
  }

  /** The answer comes when it is time to stop; none comes when the object is gone, and then it is time, too. */
  #listen(): void {
    const { link, job } = this.#call;
    link.aborted().then(
      (reason) => reason && this.#controller.abort(reviveFailure(reason)),
      () => this.#controller.abort(new LeaseLostError(job.id)),
    );
  }

  async #children(): Promise<readonly ChildOutcome[]> {
    const { children, allChildren = 0, link } = this.#call;
    const all = [...children];
    while (all.length < allChildren) for (const child of await link.children(all.length)) all.push(child);
    return all;
  }

  #context(children: readonly ChildOutcome[]): HandlerContext {
    const { job, link } = this.#call;
    return {
      job,
      id: job.id,
      name: job.name,
      queue: job.queue,
      attempt: job.attempts,
      maxAttempts: job.maxAttempts,
      signal: this.#controller.signal,
      progress: (value: Json) =>
        this.#reports.progressed(JSON.parse(toBoundedJson(value, "progress", "invalid_option")) as Json),
      log: (line) => this.#reports.logged(line),
      children: () => children,
      enqueue: async (request: JobRequest) => unwrap(await link.enqueue(plain(request))),
      publish: async (request: PublishRequest) => unwrap(await link.publish(plain(request))),
      release: releaseJob,
      fail: failJob,
    };
  }
}

/** Its payload as JSON makes it: RPC takes other things than JSON does. */
const plain = <Request extends { readonly payload: unknown }>(request: Request): Request => ({
  ...request,
  payload: JSON.parse(toJsonText(request.payload, "payload")) as unknown,
});
