import { defineConfig } from "tsdown";

export default defineConfig({
  entry: ["src/index.ts", "src/engine.ts", "src/cron.ts", "src/testing.ts"],
  platform: "neutral",
  target: "es2024",
  dts: true,
});
