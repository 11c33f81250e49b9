import type { AttemptTracer } from "../attempt/worker-events.ts";
import { isA, messageOf } from "../job/errors.ts";
import type { JobRecord } from "../job/job-record.ts";
import { Release } from "../job/release-job.ts";
import { lent, reportUnheard } from "../job/report-error.ts";

/** The part of an OpenTelemetry span that Quayside uses. */
export interface TelemetrySpan {
  spanContext(): { readonly traceId: string; readonly spanId: string; readonly traceFlags: number };
  setAttribute(key: string, value: string | number | boolean): unknown;
  setStatus(status: { code: number; message?: string | undefined }): unknown;
  recordException(exception: Error | string): void;
  end(): void;
}

/** Options of a span, as an OpenTelemetry tracer takes them. */
export interface TelemetrySpanOptions {
  kind?: number | undefined;
  attributes?: Record<string, string | number | boolean> | undefined;
  links?:
    | { context: { traceId: string; spanId: string; traceFlags: number; isRemote?: boolean | undefined } }[]
    | undefined;
}

/** The part of a `Tracer` of `@opentelemetry/api` that Quayside uses: pass `trace.getTracer("quayside")`. */
export interface TelemetryTracer {
  startActiveSpan<Run extends (span: TelemetrySpan) => ReturnType<Run>>(
    name: string,
    options: TelemetrySpanOptions,
    run: Run,
  ): ReturnType<Run>;
}

/** Traces adds and attempts. Made by `openTelemetry`. */
export interface Telemetry extends AttemptTracer {
  /** Runs an add within a span. Calls `add` with the trace context to store with the jobs. */
  add<T>(of: AddSpan, add: (trace: string | undefined) => Promise<T>): Promise<T>;
}

interface AddSpan {
  readonly queue: string;
  readonly name: string;
  readonly count: number;
}

/**
 * Creates spans for adds and attempts. Each attempt links to the span that added its job, in any process, because the
 * trace context is stored with the job.
 *
 * @example
 * import { trace } from "@opentelemetry/api";
 * const queue = new Queue("mail", driver, { telemetry: openTelemetry(trace.getTracer("mail")) });
 */
export function openTelemetry(tracer: TelemetryTracer): Telemetry {
  return {
    add: (of, add) => traceAdd(tracer, of, add),
    attempt: (job, run) => traceAttempt(tracer, job, run),
  };
}

/** Values of OpenTelemetry's `SpanKind` and `SpanStatusCode`, which are part of its API. */
const PRODUCER = 3;
const CONSUMER = 4;
const ERROR = 2;

/**
 * Value of the attribute `messaging.system`. Names of attributes follow OpenTelemetry's semantic conventions for
 * messaging.
 */
const SYSTEM = { "messaging.system": "quayside" } as const;

function traceAdd<T>(
  tracer: TelemetryTracer,
  { queue, name, count }: AddSpan,
  add: (trace: string | undefined) => Promise<T>,
): Promise<T> {
  const attributes = {
    ...SYSTEM,
    "messaging.operation.type": "send",
    "messaging.operation.name": "add",
    "messaging.destination.name": queue,
    "messaging.batch.message_count": count,
    "quayside.job.name": name,
  };
  const span = { name: `add ${queue}`, kind: PRODUCER, attributes };
  return traced(tracer, span, (open) => add(open && traceparent(open)));
}

/** Runs an attempt within a span that links to the job's add. */
function traceAttempt(tracer: TelemetryTracer, job: JobRecord, run: () => Promise<unknown>): Promise<unknown> {
  const context = job.trace === undefined ? undefined : readTraceparent(job.trace);
  const attributes = {
    ...SYSTEM,
    "messaging.operation.type": "process",
    "messaging.operation.name": "process",
    "messaging.destination.name": job.queue,
    "messaging.message.id": job.id,
    "quayside.job.name": job.name,
    "quayside.job.attempt": job.attempts,
  };
  const span = { name: `process ${job.queue}`, kind: CONSUMER, attributes, ...(context && { links: [{ context }] }) };
  return traced(tracer, span, run);
}

/**
 * Runs `work` once, within a span if the tracer can open one. Errors of the tracer are reported and do not affect the
 * work.
 */
function traced<T>(
  tracer: TelemetryTracer,
  { name, ...options }: TelemetrySpanOptions & { readonly name: string },
  work: (span: TelemetrySpan | undefined) => Promise<T>,
): Promise<T> {
  let working: Promise<T> | undefined;
  const start = (span?: TelemetrySpan): Promise<T> => {
    if (working) return working;
    // Called synchronously, because the tracer's context is active only while its function runs.
    working = startNow(() => work(span));
    if (span) working = marked(working, span).finally(() => void lent(() => span.end()));
    return working;
  };
  lent(() =>
    Promise.resolve(tracer.startActiveSpan(name, options, start)).catch((cause) => {
      // A rejection with the work's own error is not the tracer's.
      if (!working) reportUnheard(cause);
    }),
  );
  return start();
}

async function startNow<T>(work: () => Promise<T>): Promise<T> {
  return work();
}

/** Waits for `working`. Records its error in the span, and rejects with it. */
async function marked<T>(working: Promise<T>, span: TelemetrySpan): Promise<T> {
  try {
    return await working;
  } catch (error) {
    if (isA(Release, error)) lent(() => span.setAttribute("quayside.job.released", true));
    else {
      const message = messageOf(error);
      lent(() => span.recordException(isA(Error, error) ? error : message));
      lent(() => span.setStatus({ code: ERROR, message }));
    }
    throw error;
  }
}

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/;

/**
 * Returns the `traceparent` header of a span.
 *
 * @see https://www.w3.org/TR/trace-context/#traceparent-header
 */
function traceparent(span: TelemetrySpan): string | undefined {
  const text = lent(() => {
    const { traceId, spanId, traceFlags } = lent(() => span.spanContext()) as ReturnType<TelemetrySpan["spanContext"]>;
    return `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, "0")}`;
  });
  return text && TRACEPARENT.test(text) ? text : undefined;
}

function readTraceparent(text: string) {
  const match = TRACEPARENT.exec(text);
  if (!match) return undefined;
  const [, traceId = "", spanId = "", flags = ""] = match;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
}
