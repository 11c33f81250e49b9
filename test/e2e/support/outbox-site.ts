import { join } from "node:path";
import { createServer } from "vite";
import { createTestHarness } from "wrangler";
import { fromSources } from "../../../scripts/sources.mjs";
import { type FaultProxy, startFaultProxy } from "./fault-proxy.ts";

const E2E = join(import.meta.dirname, "..");

/** The page of the outbox and the API of the edge, behind one proxy that injects faults. */
export interface OutboxSite {
  readonly proxy: FaultProxy;
  /** URL of the API, without the proxy. */
  readonly api: string;
  close(): Promise<void>;
}

export async function startOutboxSite(): Promise<OutboxSite> {
  const edge = createTestHarness({ workers: [{ configPath: "../edge/wrangler.http.jsonc" }], root: E2E });
  const vite = await createServer({
    root: join(E2E, "outbox-page"),
    logLevel: "error",
    plugins: [fromSources()],
    server: { port: 0, host: "127.0.0.1", hmr: false },
  });
  await vite.listen();
  const api = (await edge.listen()).url.href;
  const proxy = await startFaultProxy({ page: vite.resolvedUrls?.local[0] as string, api });
  return {
    proxy,
    api,
    async close() {
      await proxy.close();
      await vite.close();
      await edge.close();
    },
  };
}
