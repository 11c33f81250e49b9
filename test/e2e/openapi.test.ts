import { validate } from "@readme/openapi-parser";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createTestHarness } from "wrangler";

const server = createTestHarness({
  workers: [{ configPath: "../edge/wrangler.http.jsonc" }],
  root: import.meta.dirname,
});
let base = "";

beforeAll(async () => {
  base = (await server.listen()).url.href.replace(/\/$/, "");
});
afterAll(() => server.close());

type Document = Parameters<typeof validate>[0] & object;

const documentAt = async (path: string): Promise<Document> => {
  const response = await fetch(`${base}${path}/openapi.json`, { headers: { authorization: "Bearer token-all" } });
  expect(response.status).toBe(200);
  return (await response.json()) as Document;
};

it.each([
  ["without a job map", "/spaces/openapi/api"],
  ["with a job map", "/mapped/api"],
])("openapi.json is a valid OpenAPI 3.1 document, %s", async (_, path) => {
  const document = await documentAt(path);
  expect(document).toMatchObject({ openapi: expect.stringMatching(/^3\.1\./) });
  expect(await validate(structuredClone(document))).toMatchObject({ valid: true, warnings: [] });
  // The validator is one that finds faults.
  const wrong = { ...structuredClone(document), paths: { "/x": { get: { responses: 5 } } } };
  expect(await validate(wrong as Document)).toMatchObject({ valid: false });
});

it("leads from where it lies to the API: its server is relative to it", async () => {
  const { servers } = (await documentAt("/mapped/api")) as { servers: { url: string }[] };
  const root = new URL(`${servers[0]?.url}/mail/counts`, `${base}/mapped/api/openapi.json`);
  const response = await fetch(root, { headers: { authorization: "Bearer token-all" } });
  expect(await response.json()).toMatchObject({ waiting: 0 });
});
