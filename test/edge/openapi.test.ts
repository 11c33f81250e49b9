import { env } from "cloudflare:workers";
import { type DefinedJobs, defineJobs, type StandardSchema, toMs } from "@quayside/core";
import { API_LIMITS, API_ROUTES, openApiDocument } from "@quayside/edge";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import page from "../../docs/http.md?raw";
import { call, problem } from "./api-call.ts";
import { closedApi } from "./queues.ts";

interface Document {
  readonly paths: Record<string, Record<string, { readonly operationId: string; readonly security?: unknown }>>;
  readonly components: { readonly schemas: Record<string, Record<string, unknown>> };
}

const documentOf = (jobs?: DefinedJobs) => openApiDocument({ jobs, limits: API_LIMITS }) as unknown as Document;

/** What the document says of adding a job of this name. */
function newJob({ components: { schemas } }: Document, name: string): Record<string, unknown> {
  const one = schemas["NewJob"]?.["oneOf"] as readonly Record<string, Record<string, Record<string, unknown>>>[];
  const found = one.find(({ properties }) => properties?.["name"]?.["const"] === name);
  return found?.["properties"]?.["payload"] as Record<string, unknown>;
}

it("docs/http.md has each route, and each code beside its status", async () => {
  const { paths, components } = (await call("/openapi.json")).body;
  const rows = page.split("\n").filter((line) => line.startsWith("|"));
  for (const { method, path } of API_ROUTES) expect(rows.join("\n")).toContain(`| \`${method} ${path}\` `);
  const statuses = new Map<string, string>();
  for (const row of rows) {
    const status = /^\| (\d{3}) /.exec(row)?.[1];
    if (status) for (const [, code] of row.matchAll(/`([a-z_]+)`/g)) statuses.set(code as string, status);
  }
  expect([...statuses.keys()].sort()).toEqual([...components.schemas.Problem.properties.code.enum].sort());
  const told = JSON.stringify(paths);
  for (const [code, status] of statuses) {
    for (const [, said] of told.matchAll(new RegExp(`"(\\d+)":{"description":"[^"]*\`${code}\`:`, "g")))
      expect(said).toBe(status);
  }
});

describe("openapi.json", () => {
  it("is for callers with credentials, whatever their scope; /health is for all", async () => {
    expect(await problem("/openapi.json", { token: "no such token" })).toMatchObject({ status: 401 });
    expect(await problem("/openapi.json", { app: closedApi })).toMatchObject({ status: 401 });
    for (const token of ["token-enqueue", "token-work", "token-admin", "token-mail"] as const) {
      const { status, type, body } = await call("/openapi.json", { token });
      expect({ status, type, version: body.openapi }).toEqual({
        status: 200,
        type: "application/json",
        version: "3.1.1",
      });
    }
    expect((await closedApi.request("/health", {}, env)).status).toBe(200);
  });

  it("has each route of the table, and no other", async () => {
    const { body } = await call("/openapi.json");
    const told = Object.entries((body as Document).paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { operationId, security }]) => {
        return `${operationId} ${method.toUpperCase()} ${path} ${security ? "open" : ""}`;
      }),
    );
    const routes = API_ROUTES.map(({ id, method, path, open }) => {
      return `${id} ${method} ${path.replaceAll(/:(\w+)/g, "{$1}")} ${open ? "open" : ""}`;
    });
    expect(told.sort()).toEqual(routes.sort());
    expect(new Set(API_ROUTES.map(({ id }) => id)).size).toBe(API_ROUTES.length);
  });

  it("has the payload of each job of the job map, as its schema says it", async () => {
    const { body } = await call("/openapi.json");
    const reference = newJob(body, "email")["$ref"] as string;
    expect(body.components.schemas[reference.replace("#/components/schemas/", "")]).toEqual({
      type: "object",
      properties: {
        to: { type: "string", format: "email", pattern: expect.any(String) },
        lines: { type: "array", items: { type: "string" }, default: [] },
      },
      required: ["to"],
    });
  });

  it("takes the payload of a schema that speaks Standard JSON Schema, and any of one that does not", () => {
    const schema = (jsonSchema?: object): StandardSchema => ({
      "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }), ...(jsonSchema && { jsonSchema }) },
    });
    const standard = { input: ({ target }: { target: string }) => ({ type: "object", title: target }) };
    const broken = {
      input: () => {
        throw new Error("It cannot be said.");
      },
    };
    const document = documentOf(
      defineJobs({
        said: { input: schema(standard) },
        silent: { input: schema() },
        broken: { input: schema(broken) },
        free: {},
      }),
    );
    const { $ref } = newJob(document, "said") as { $ref: string };
    expect(document.components.schemas[$ref.replace("#/components/schemas/", "")]).toEqual({
      type: "object",
      title: "draft-2020-12",
    });
    for (const name of ["silent", "broken", "free"]) expect(newJob(document, name)).toEqual({});
  });

  it("leads the references within a payload's schema to where it stands", () => {
    interface Tree {
      readonly name: string;
      readonly children: readonly Tree[];
    }
    const tree: z.ZodType<Tree> = z.object({
      name: z.string(),
      get children() {
        return z.array(tree);
      },
    });
    const money = z.object({ cents: z.int() }).meta({ id: "money" });
    const document = documentOf(
      defineJobs({ tree: { input: tree }, pay: { input: z.object({ price: money, fee: money, at: z.date() }) } }),
    );
    const resolve = (reference: string) =>
      reference
        .slice(2)
        .split("/")
        .reduce<unknown>((value, part) => (value as Record<string, unknown>)?.[part], document);
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference]) => reference);
    expect(references.length).toBeGreaterThan(10);
    expect(references.filter((reference) => resolve(reference as string) === undefined)).toEqual([]);
    expect(references.filter((reference) => reference?.includes("$defs"))).not.toEqual([]);
  });

  it("takes any name and any payload without a job map, and none of an empty one", () => {
    expect(documentOf().components.schemas["NewJob"]).toMatchObject({ type: "object", required: ["name"] });
    expect(documentOf(defineJobs({})).components.schemas["NewJob"]).toEqual({ not: {} });
  });
});

describe("what openapi.json says of refusals and values", () => {
  interface Operation {
    readonly requestBody?: unknown;
    readonly responses: Record<string, { readonly headers?: Record<string, { readonly $ref: string }> }>;
    readonly parameters: readonly { readonly name?: string; readonly schema: { readonly maxLength?: number } }[];
  }
  const operations = () => {
    const { paths } = documentOf() as unknown as { readonly paths: Record<string, Record<string, Operation>> };
    return Object.values(paths).flatMap((methods) => Object.values(methods));
  };

  it("each operation has 405 with Allow; each with credentials has 429 with Retry-After; each with a body has 415", () => {
    for (const { responses, requestBody } of operations()) {
      expect(responses["405"]?.headers).toEqual({ Allow: { $ref: "#/components/headers/Allow" } });
      const later = responses["429"];
      if (responses["401"])
        expect(later?.headers).toEqual({ "Retry-After": { $ref: "#/components/headers/RetryAfter" } });
      expect("415" in responses).toBe(requestBody !== undefined);
    }
  });

  it("the keys of recurrences have a greatest length, in paths and queries", () => {
    const named = operations().flatMap(({ parameters }) => parameters.filter(({ name }) => name === "key"));
    expect(named.length).toBeGreaterThan(1);
    for (const { schema } of named) expect(schema).toMatchObject({ maxLength: 256, not: { enum: [".", ".."] } });
    const { paths } = documentOf() as unknown as { readonly paths: Record<string, Record<string, Operation>> };
    const after = paths["/{queue}/schedules"]?.["get"]?.parameters.find(({ name }) => name === "after");
    expect(after?.schema.maxLength).toBe(256);
  });

  it.each([
    ["5m", true],
    ["1.5 h", true],
    ["123456789ms", true],
    ["0.0005s", true],
    ["5", false],
    [".5s", false],
    ["5  s", false],
    ["-5s", false],
    ["5sec", false],
  ])("its pattern of durations and core agree about %j", (text, isDuration) => {
    const { pattern } = (
      JSON.stringify(documentOf()).match(/\{"type":"string","pattern":"[^"]*s\|m\|h[^"]*"\}/) ?? []
    ).map((found) => JSON.parse(found) as { readonly pattern: string })[0] as { readonly pattern: string };
    expect(new RegExp(pattern).test(text)).toBe(isDuration);
    const read = () => toMs(text as "5m", "delay");
    if (isDuration) expect(read()).toBeGreaterThan(0);
    else expect(read).toThrow(/delay/);
  });
});
