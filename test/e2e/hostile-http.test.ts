import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { QuaysideError } from "@quayside/core";
import { afterAll, beforeAll, describe } from "vitest";
import type { Look } from "../hostile/home.ts";
import { hostileSuite } from "../hostile/suite.ts";
import { openIn } from "./support/http-space.ts";
import { Runtime, type Workerd } from "./support/workerd.ts";

let folder: string;
let server: Workerd;

// The runtime itself: on the way to it, wrangler's own server takes longer than all the rest of a request.
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quayside-hostile-"));
  server = await (await Runtime.bundle("../../edge/wrangler.http.jsonc", folder)).start();
});
afterAll(async () => {
  await server.kill();
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
});

describe("hostile input over HTTP", () => {
  const open = openIn(() => server.url, "whole");
  hostileSuite({ check: 100, nightly: 1_000 }, async () => {
    const home = await open();
    return {
      ...home,
      look: async () => (await fetch(`${home.space}/look`)).json() as Promise<Look>,
      send: async (method, path, body) => {
        const headers = { authorization: "Bearer token-all", "content-type": "application/json" };
        const response = await fetch(`${home.space}/api/mail/${path}`, { method, headers, body: JSON.stringify(body) });
        const { code, status } = (await response.json()) as { readonly code?: string; readonly status?: number };
        if (response.ok) return;
        if (response.status >= 500 || !code) throw new Error(`${method} ${path} answered ${status} ${code}.`);
        throw new QuaysideError("invalid_option", code);
      },
    };
  });
});
