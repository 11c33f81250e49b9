import { defineConfig } from "vite";

const port = Number(process.env["PORT"] ?? 8787);

export default defineConfig({
  server: { port },
  preview: { port, strictPort: true },
});
