// The bindings of wrangler.jsonc, as `env` of "cloudflare:workers" has them.
declare namespace Cloudflare {
  interface GlobalProps {
    mainModule: typeof import("./worker.ts");
  }
  interface Env {
    SMOKE: DurableObjectNamespace<import("./worker.ts").SmokeObject>;
    WORK_QUEUE: DurableObjectNamespace<import("./queues.ts").WorkQueue>;
    HTTP_QUEUE: DurableObjectNamespace<import("./http-worker.ts").HttpQueue>;
    WIDE_QUEUE: DurableObjectNamespace<import("./queues.ts").WideQueue>;
    BARE_QUEUE: DurableObjectNamespace<import("./queues.ts").BareQueue>;
    CRASH_QUEUE: DurableObjectNamespace<import("./crash-worker.ts").CrashQueue>;
    CRASH_SHOP: DurableObjectNamespace<import("./crash-worker.ts").CrashShop>;
    SHOP: DurableObjectNamespace<import("./embedded.ts").Shop>;
  }
}
