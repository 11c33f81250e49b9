import { RpcTarget } from "cloudflare:workers";
import type { ChildOutcome, HandlerContext, JobRequest, PublishRequest } from "@quayside/core";
import { jsonBytes } from "../json-bytes.ts";
import { type Reply, reply } from "../rpc/queue-rpc.ts";
import { REPLY_BYTES } from "../rpc/reply-budget.ts";
import type { JobLink, JobReport } from "./job-call.ts";
import { type SentFailure, sendFailure } from "./sent-failure.ts";

/** Those from one on that one call carries (R31): 8 MiB, and at least one. */
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
 * The attempt's end of a call to a consumer. An `AbortSignal` crosses RPC only where a compatibility flag allows it, and
 * its reason arrives without a code, so the consumer asks when to stop (`aborted`), and has its answer when it is time.
 */
export class AttemptLink extends RpcTarget implements JobLink {
  readonly #ctx: HandlerContext;
  readonly #stopped: Promise<SentFailure | undefined>;

  /** @param ended aborted when the call is over, so that no question stays open. */
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
    return reply(() => this.#ctx.enqueue(request));
  }

  publish(request: PublishRequest): Promise<Reply<readonly string[]>> {
    return reply(() => this.#ctx.publish(request));
  }

  aborted(): Promise<SentFailure | undefined> {
    return this.#stopped;
  }
}
