import { UnrecoverableError } from "@quayside/core";
import { jobConsumer } from "@quayside/edge";
import { jobs } from "./bridge-jobs.ts";

const log: string[] = [];

export class Compute extends jobConsumer<typeof jobs, unknown>({
  jobs,
  handlers: {
    compute: async ({ how, n }, ctx) => {
      switch (how) {
        case "square":
          ctx.progress(0.5);
          ctx.log(`squaring ${n}`);
          return n * n;
        case "never":
          throw new UnrecoverableError("cannot be computed");
        case "wait":
          log.push(`${ctx.id} waits`);
          return new Promise((_, reject) => {
            ctx.signal.addEventListener("abort", () => {
              log.push(`${ctx.id} aborted: ${(ctx.signal.reason as { code?: string }).code}`);
              reject(ctx.signal.reason);
            });
          });
        default:
          return null;
      }
    },
  },
}) {
  override async runJob(call: object): Promise<object> {
    const { job } = call as { job: { attempts: number; payload: { how: string } } };
    // Its invocation ends in the middle, as one does that used up its memory or its CPU time.
    if (job.payload.how === "die" && job.attempts === 1) {
      setTimeout(() => this.ctx.abort(new Error("out of memory")), 20);
      await new Promise(() => {});
    }
    return super.runJob(call);
  }

  /** What its handlers have told since it was last asked. */
  async told(): Promise<readonly string[]> {
    return [...log];
  }
}

export default { fetch: async () => new Response("compute") };
