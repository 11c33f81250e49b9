// The bindings of wrangler.jsonc.
declare namespace Cloudflare {
  interface Env {
    KEEP_QUEUE: DurableObjectNamespace<import("./quayside.ts").KeepQueue>;
    WORK_QUEUE: DurableObjectNamespace<import("./quayside.ts").WorkQueue>;
    WIDE_QUEUE: DurableObjectNamespace<import("./quayside.ts").WideQueue>;
    WIDEST_QUEUE: DurableObjectNamespace<import("./quayside.ts").WidestQueue>;
    AHEAD_QUEUE: DurableObjectNamespace<import("./quayside.ts").AheadQueue>;
    RAW_QUEUE: DurableObjectNamespace<import("./raw.ts").RawQueue>;
    AGENT_QUEUE: DurableObjectNamespace<import("./agents-sdk.ts").AgentQueue>;
    HOUR_QUEUE: DurableObjectNamespace<import("../../../test/edge/hour/objects.ts").HourQueue>;
    HOUR_SHOP: DurableObjectNamespace<import("../../../test/edge/hour/objects.ts").HourShop>;
  }
}
