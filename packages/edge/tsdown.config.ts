import { defineConfig } from "tsdown";

export default defineConfig({
  entry: ["src/index.ts", "src/client.ts", "src/webhook.ts"],
  platform: "neutral",
  target: "es2024",
  dts: true,
  deps: { neverBundle: [/^cloudflare:/] },
});
