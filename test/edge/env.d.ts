// The bindings of wrangler.jsonc, as `env` of "cloudflare:workers" has them.
/// <reference types="vite/client" />

declare namespace Cloudflare {
  interface GlobalProps {
    mainModule: typeof import("./worker.ts");
  }
  interface Env {
    SMOKE: DurableObjectNamespace<import("./worker.ts").SmokeObject>;
    WORK_QUEUE: DurableObjectNamespace<import("./queues.ts").WorkQueue>;
    HTTP_QUEUE: DurableObjectNamespace<import("./http-worker.ts").HttpQueue>;
    TIMED_QUEUE: DurableObjectNamespace<import("./http-worker.ts").TimedQueue>;
    WIDE_QUEUE: DurableObjectNamespace<import("./queues.ts").WideQueue>;
    RATE_LIMITER: RateLimit;
    BARE_QUEUE: DurableObjectNamespace<import("./queues.ts").BareQueue>;
    DISPATCH_QUEUE: DurableObjectNamespace<import("./dispatch-queue.ts").DispatchQueue>;
    CONSUMER: Service<typeof import("./dispatch-queue.ts").Consumer>;
    MORTAL_CONSUMER: Service<typeof import("./dispatch-queue.ts").MortalConsumer>;
    STILLBORN_CONSUMER: Service<typeof import("./dispatch-queue.ts").StillbornConsumer>;
    CRASH_QUEUE: DurableObjectNamespace<import("./crash-worker.ts").CrashQueue>;
    CRASH_SHARD: DurableObjectNamespace<import("./crash-worker.ts").CrashShard>;
    CRASH_SHOP: DurableObjectNamespace<import("./crash-worker.ts").CrashShop>;
    CRASH_ALARMLESS: DurableObjectNamespace<import("./crash-worker.ts").CrashAlarmless>;
    SHOP: DurableObjectNamespace<import("./embedded.ts").Shop>;
    HOUR_QUEUE: DurableObjectNamespace<import("./hour/objects.ts").HourQueue>;
    HOUR_SHOP: DurableObjectNamespace<import("./hour/objects.ts").HourShop>;
  }
}

declare module "*?raw" {
  const text: string;
  export default text;
}
