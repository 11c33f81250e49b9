// Writes docs/sizes.md: what each plugin adds to the bundle of a page that uses /mini. `pnpm exec node bench/size/plugins.ts`.
import { writeFile } from "node:fs/promises";
import { bundleSize } from "./bundle-size.ts";
import { MINI, PAGE } from "./part.ts";

/** The imports of a page for each plugin. */
const PLUGINS: Readonly<Record<string, readonly string[]>> = {
  admin: ["admin", "retry", "retryAll", "promote", "update", "clear"],
  dedupe: ["dedupe"],
  expiry: ["expiry"],
  flows: ["flows", "addFlow"],
  groups: ["groups"],
  idempotency: ["idempotency"],
  inspect: ["inspect", "list"],
  maxActive: ["maxActive", "configure"],
  maxWaiting: ["maxWaiting", "configure"],
  rateLimit: ["rateLimit", "configure"],
  recurrences: ["recurrences", "schedule"],
  unknownNames: ["unknownNames"],
};

const gzip = async (source: string) => (await bundleSize(source)).gzip;
const kB = (bytes: number) => (bytes / 1_000).toFixed(1);
const base = await gzip(MINI);
const rows: string[] = [];
for (const [name, imports] of Object.entries(PLUGINS)) {
  const more = await gzip(`${MINI} export { ${imports.join(", ")} } from "@quayside/core/mini";`);
  rows.push(`| \`${name}\` | ${imports.map((one) => `\`${one}\``).join(", ")} | ${kB(more - base)} |`);
}
await writeFile(
  new URL("../../docs/sizes.md", import.meta.url),
  `# Sizes

Kilobytes that a page loads, minified and gzipped. Made by \`bench/size/plugins.ts\`.

| bundle | kB |
|---|---|
| \`Queue\`, \`QueueWorker\` and \`indexedDbDriver\` of the presets with everything | ${kB(await gzip(PAGE))} |
| the same of \`@quayside/core/mini\` and \`@quayside/browser/mini\`, no plugins | ${kB(base)} |

Each plugin adds to the second, with its functions:

| plugin | imports | kB |
|---|---|---|
${rows.join("\n")}
`,
);
