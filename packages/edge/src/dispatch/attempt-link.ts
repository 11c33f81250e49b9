import { RpcTarget } from "cloudflare:workers";
import type {
  ChildOutcome,
  FlowIds,
  FlowJob,
  HandlerContext,
  JobRequest,
  PublishRequest,
  UntypedJobs,
} from "@quayside/core";
import { jsonBytes } from "../json-bytes.ts";
import { type Reply, reply } from "../rpc/queue-rpc.ts";
import { REPLY_BYTES } from "../rpc/reply-budget.ts";
import type { JobLink, JobReport } from "./job-call.ts";
import { type SentFailure, sendFailure } from "./sent-failure.ts";

/** Returns the outcomes of children from index `from` that fit into one reply (8 MiB), but at least one (R31). */
export function childrenFrom(children: readonly ChildOutcome[], from: number): readonly ChildOutcome[] {
  let bytes = 0;
  let end = from;
  for (const child of children.slice(from)) {
    bytes += jsonBytes(child);
    if (bytes > REPLY_BYTES && end > from) break;
    end++;
  }
  return children.slice(from, end);
}

/**
 * The object that a consumer calls back about the attempt that it runs. An `AbortSignal` crosses RPC only with a
 * compatibility flag, and its reason loses its code; so the consumer calls `aborted`, which returns when the attempt
 * should stop.
 */
export class AttemptLink extends RpcTarget implements JobLink {
  readonly #ctx: HandlerContext;
  readonly #stopped: Promise<SentFailure | undefined>;

  /**
   * Creates the link of one attempt.
   *
   * @param ended aborted when the call of the consumer is over, so that a pending call of `aborted` returns.
   */
  constructor(ctx: HandlerContext, ended: AbortSignal) {
    super();
    this.#ctx = ctx;
    const { signal } = ctx;
    this.#stopped = new Promise((resolve) => {
      const stop = () => resolve(sendFailure(signal.reason));
      if (signal.aborted) stop();
      else signal.addEventListener("abort", stop, { once: true, signal: ended });
      ended.addEventListener("abort", () => resolve(undefined), { once: true });
    });
  }

  async report({ progress, lines }: JobReport): Promise<void> {
    for (const line of lines) this.#ctx.log(line);
    if (progress !== undefined) this.#ctx.progress(progress);
  }

  async children(from: number): Promise<readonly ChildOutcome[]> {
    return childrenFrom(this.#ctx.children(), from);
  }

  enqueue(request: JobRequest): Promise<Reply<string>> {
    return reply(() => this.#ctx.enqueue(request as JobRequest & { readonly queue: string }));
  }

  publish(request: PublishRequest): Promise<Reply<readonly string[]>> {
    return reply(() => this.#ctx.publish(request));
  }

  addFlow(flow: FlowJob<UntypedJobs>): Promise<Reply<FlowIds>> {
    return reply(() => this.#ctx.addFlow(flow));
  }

  aborted(): Promise<SentFailure | undefined> {
    return this.#stopped;
  }
}
