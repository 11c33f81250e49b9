// Builds what is meant to be deployed as `wrangler deploy` builds it, short of sending it: no account, no network. And
// the types generated from a wrangler.jsonc are those that it would give now.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { FROM_SOURCES } from "./sources.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const env = {
  ...process.env,
  ...FROM_SOURCES,
  CI: "true",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_WRITE_LOGS: "false",
  // The bundler would ask Cloudflare for an example of a request's place of origin.
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
};
let wrong = 0;

/**
 * @param {string} folder
 * @param {string} script of a package that the folder depends on
 * @param {readonly string[]} args
 */
function run(folder, script, args) {
  const cwd = join(root, folder);
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(cwd, "node_modules", script), ...args], {
    cwd,
    env,
    encoding: "utf8",
    timeout: 120_000,
  });
  const done = status === 0;
  console.log(`${done ? "ok    " : "FAILED"} ${folder}: ${script.split("/")[0]} ${args.join(" ")}`);
  if (done) return;
  wrong++;
  console.log(`${stdout}${stderr}`.trim());
}

const out = mkdtempSync(join(tmpdir(), "quayside-deployable-"));
const dryRun = ["deploy", "--dry-run", "--outdir", out];
run("templates/worker", "wrangler/bin/wrangler.js", ["types", "--check"]);
run("templates/worker", "wrangler/bin/wrangler.js", dryRun);
// Its page and its Worker are built by Vite, which leaves wrangler a configuration of what it built.
run("apps/demo", "vite/bin/vite.js", ["build", "--logLevel", "warn"]);
run("apps/demo", "wrangler/bin/wrangler.js", dryRun);
rmSync(out, { recursive: true });
process.exitCode = wrong > 0 ? 1 : 0;
