import {
  type ChildOutcome,
  type FlowJob,
  type HandlerContext,
  isA,
  type JobOptions,
  type JobRequest,
  type Json,
  LeaseLostError,
  type PublishRequest,
  type UntypedJobs,
} from "@quayside/core";
import { failJob, plainDecisionOf, Release, releaseJob, toBoundedJson, toJsonText } from "@quayside/core/engine";
import { unwrap } from "../rpc/queue-rpc.ts";
import type { JobCall, JobOutcome } from "./job-call.ts";
import { ReportSender } from "./report-sender.ts";
import { reviveFailure, sendFailure } from "./sent-failure.ts";

/** Runs a job's handler in a consumer and connects the handler's `ctx` with the queue's object. */
export class ConsumerAttempt {
  readonly #call: JobCall;
  readonly #controller = new AbortController();
  readonly #reports: ReportSender;

  constructor(call: JobCall) {
    this.#call = call;
    this.#reports = new ReportSender((report) => call.link.report(report));
  }

  /** Runs the handler and returns the outcome. Never rejects. */
  async run(handle: (ctx: HandlerContext) => unknown): Promise<JobOutcome> {
    this.#listen();
    const end = await this.#end(handle);
    await this.#reports.arrived();
    return end;
  }

  async #end(handle: (ctx: HandlerContext) => unknown): Promise<JobOutcome> {
    const { job } = this.#call;
    try {
      const result = await handle(this.#context(await this.#children()));
      const decision = plainDecisionOf(job);
      if (decision) throw decision;
      if (result === undefined) return { outcome: "completed" };
      // Sent as text, because RPC would replace functions by stubs and refuse objects with `toJSON`.
      return { outcome: "completed", result: toBoundedJson(result, "result", "invalid_result") };
    } catch (thrown) {
      const error = plainDecisionOf(job) ?? thrown;
      if (!isA(Release, error)) return { outcome: "failed", failure: sendFailure(error) };
      const { delayMs, fault } = error;
      return { outcome: "released", delayMs, ...(fault !== undefined && { fault: sendFailure(fault) }) };
    }
  }

  /** Aborts the handler when the object requests it, or when the connection to the object is lost. */
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
      scheduledFor: job.scheduledFor,
      signal: this.#controller.signal,
      progress: (value: Json) =>
        this.#reports.progressed(JSON.parse(toBoundedJson(value, "progress", "invalid_option")) as Json),
      log: (line) => this.#reports.logged(line),
      children: () => children,
      enqueue: async (request: JobRequest) => unwrap(await link.enqueue(plain(request))),
      publish: async (request) => unwrap(await link.publish(plain(request) as PublishRequest)),
      addFlow: async (flow) => unwrap(await link.addFlow(plainFlow(flow))),
      addJob: async (name: string, payload?: unknown, options?: JobOptions) =>
        unwrap(await link.enqueue(plain({ ...options, name, payload }))),
      release: (delay) => releaseJob(job, delay),
      fail: (reason) => failJob(job, reason),
    };
  }
}

type AnyFlow = FlowJob<UntypedJobs>;

/** Returns a flow whose payloads are plain JSON. A job that is in the flow twice, or in itself, stays one object. */
function plainFlow(flow: AnyFlow, done = new Map<AnyFlow, AnyFlow>()): AnyFlow {
  const known = done.get(flow);
  if (known || typeof flow !== "object" || flow === null) return known ?? flow;
  const copy: { -readonly [Field in keyof AnyFlow]: AnyFlow[Field] } = { ...flow };
  done.set(flow, copy);
  const { children } = copy;
  Object.assign(
    copy,
    plain(flow),
    Array.isArray(children) && { children: children.map((child) => plainFlow(child, done)) },
  );
  return copy;
}

/** Returns a request whose payload is plain JSON. RPC can carry further types, which JSON does not have. */
const plain = <Request extends { readonly payload?: unknown }>(request: Request): Request => ({
  ...request,
  payload: JSON.parse(toJsonText(request.payload, "payload")) as unknown,
});
