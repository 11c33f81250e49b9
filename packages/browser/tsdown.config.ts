import { defineConfig } from "tsdown";

export default defineConfig({
  entry: ["src/index.ts", "src/react.ts"],
  platform: "neutral",
  target: "es2024",
  dts: true,
});
