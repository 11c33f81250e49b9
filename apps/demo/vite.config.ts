import { cloudflare } from "@cloudflare/vite-plugin";
import { defineConfig } from "vite";
import { fromSources } from "../../scripts/sources.mjs";

// The local runtime would ask Cloudflare for an example of a request's place of origin: nothing here needs it.
process.env["CLOUDFLARE_CF_FETCH_ENABLED"] ??= "false";

const port = Number(process.env["PORT"] ?? 8787);

export default defineConfig({
  plugins: [
    fromSources(),
    cloudflare({
      // What the Durable Objects store, kept between runs. Tests give each run a folder of its own.
      persistState: { path: process.env["QUAYSIDE_DEMO_STATE"] ?? ".wrangler/state" },
      inspectorPort: false,
    }),
  ],
  server: { port },
  preview: { port, strictPort: true },
});
