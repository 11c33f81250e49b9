import {
  openTelemetry,
  Queue,
  type TelemetrySpan,
  type TelemetrySpanOptions,
  type TelemetryTracer,
} from "@quayside/core";
import { describe, expect, it, vi } from "vitest";
import { scene } from "./support.ts";

interface Ended {
  readonly name: string;
  readonly options: TelemetrySpanOptions;
  readonly spanId: string;
  readonly status?: { code: number; message?: string };
  readonly exceptions: unknown[];
}

/** A tracer of the shape of `@opentelemetry/api`, which keeps the spans that ended. */
function recorder() {
  const ended: Ended[] = [];
  let count = 0;
  const tracer: TelemetryTracer = {
    startActiveSpan(name, options, run) {
      const spanId = (++count).toString(16).padStart(16, "0");
      const span: Ended = { name, options, spanId, exceptions: [] };
      const handle: TelemetrySpan = {
        spanContext: () => ({ traceId: "a".repeat(32), spanId, traceFlags: 1 }),
        setAttribute: (key, value) => Object.assign(options.attributes ?? {}, { [key]: value }),
        setStatus: (status) => Object.assign(span, { status }),
        recordException: (exception) => span.exceptions.push(exception),
        end: () => ended.push(span),
      };
      return run(handle);
    },
  };
  return { tracer, ended };
}

describe("telemetry", () => {
  it("makes a span for an add and one for each attempt, linked by the trace context stored with the job", async () => {
    const { driver, another, clock } = scene();
    const { tracer, ended } = recorder();
    const producer = new Queue("mail", driver, { clock, telemetry: openTelemetry(tracer) });
    const worker = new Queue("mail", another(), { clock, telemetry: openTelemetry(tracer) });
    worker.on("job:email", (_, ctx) => {
      if (ctx.attempt === 1) throw new Error("busy");
    });
    const id = await producer.addJob("email", null, { backoff: "1s" });
    expect(await producer.get(id)).toMatchObject({ trace: `00-${"a".repeat(32)}-0000000000000001-01` });
    await worker.drain();
    await clock.advance(1_000);
    await worker.drain();
    expect(ended.map(({ name }) => name)).toEqual(["add mail", "process mail", "process mail"]);
    const [add, first, second] = ended as [Ended, Ended, Ended];
    expect(add.options).toMatchObject({ kind: 3, attributes: { "messaging.destination.name": "mail" } });
    for (const [index, attempt] of [first, second].entries()) {
      expect(attempt.options).toMatchObject({
        kind: 4,
        attributes: { "messaging.message.id": id, "quayside.job.attempt": index + 1 },
        links: [{ context: { traceId: "a".repeat(32), spanId: add.spanId, traceFlags: 1, isRemote: true } }],
      });
    }
    expect(first).toMatchObject({ status: { code: 2, message: "busy" }, exceptions: [{ message: "busy" }] });
    expect(second.status).toBeUndefined();
  });

  it("adds and works jobs while the span rejects, never answers, or says what no trace context is", async () => {
    for (const end of [() => Promise.reject(new Error("no collector")), () => new Promise(() => {})]) {
      const { driver, clock } = scene();
      const rejects = async () => Promise.reject(new Error("no collector"));
      const span = { spanContext: rejects, setAttribute: rejects, setStatus: rejects, recordException: rejects, end };
      const tracer: TelemetryTracer = { startActiveSpan: (_name, _options, run) => run(span as never) };
      const queue = new Queue("mail", driver, { clock, telemetry: openTelemetry(tracer) });
      queue.on("job:email", (_, { attempt }) => {
        if (attempt === 1) throw new Error("busy");
      });
      const print = vi.spyOn(console, "error").mockImplementation(() => {});
      const id = await queue.addJob("email", null, { backoff: 0 });
      expect((await queue.get(id))?.trace).toBeUndefined();
      await queue.drain();
      expect(await queue.get(id)).toMatchObject({ state: "completed", attempts: 2 });
      expect(print).toHaveBeenCalled();
      print.mockRestore();
    }
  });

  it("a released attempt is no error; an add that fails is one", async () => {
    const { driver, clock } = scene();
    const { tracer, ended } = recorder();
    const queue = new Queue("mail", driver, { clock, telemetry: openTelemetry(tracer) });
    queue.on("job:email", (_, ctx) => ctx.release("1m"));
    await queue.addJob("email", null);
    await queue.drain();
    expect(ended[1]).toMatchObject({ options: { attributes: { "quayside.job.released": true } }, exceptions: [] });
    expect(ended[1]?.status).toBeUndefined();
    await driver.close();
    await expect(queue.addJob("email", null)).rejects.toMatchObject({ code: "closed" });
    expect(ended[2]).toMatchObject({ name: "add mail", status: { code: 2 } });
  });
});
