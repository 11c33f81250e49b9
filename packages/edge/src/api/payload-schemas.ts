import type { DefinedJobs, JobDefinition } from "@quayside/core";
import * as z from "zod/mini";

export type JsonSchema = Record<string, unknown>;

export interface PayloadSource {
  readonly jobs: DefinedJobs | undefined;
}

/**
 * Creates the schemas of new jobs for `openapi.json`. With a job map, `NewJob` is one of the map's jobs, each with its
 * own payload. Without a job map, `base` describes any job.
 */
export function newJobSchemas(base: JsonSchema, { jobs }: PayloadSource): Record<string, JsonSchema> {
  if (!jobs) return {};
  const components: Record<string, JsonSchema> = {};
  const one: JsonSchema[] = [];
  for (const [index, [name, definition]] of Object.entries(jobs).entries()) {
    const payload = payloadSchema(definition);
    const id = `Payload${index + 1}`;
    if (payload) components[id] = moved(payload, `#/components/schemas/${id}`);
    const properties = {
      ...(base["properties"] as JsonSchema),
      name: { const: name },
      payload: payload ? { $ref: `#/components/schemas/${id}` } : {},
    };
    one.push({ ...base, title: name, properties, required: payload ? ["name", "payload"] : ["name"] });
  }
  // An empty job map accepts no job.
  components["NewJob"] = one.length > 0 ? { oneOf: one } : { not: {} };
  return components;
}

/** Returns the JSON Schema of a job's payload, or undefined if its schema library cannot create one. */
function payloadSchema({ input }: JobDefinition): JsonSchema | undefined {
  if (!input) return undefined;
  try {
    if (isZod(input)) return z.toJSONSchema(input, { io: "input", unrepresentable: "any" }) as JsonSchema;
    const standard = input["~standard"] as StandardJsonSchema;
    return standard.jsonSchema?.input({ target: "draft-2020-12" });
  } catch {
    // A schema without an equivalent in JSON Schema still checks payloads when jobs are added.
    return undefined;
  }
}

/** The part of Standard JSON Schema that Quayside uses (https://standardschema.dev/json-schema). */
interface StandardJsonSchema {
  readonly jsonSchema?: { readonly input: (options: { readonly target: "draft-2020-12" }) => JsonSchema } | undefined;
}

const isZod = (schema: object): schema is z.core.$ZodType => "_zod" in schema;

/** Returns a schema for a place below the root of a document: prefixes its internal references with `to`. */
function moved(schema: JsonSchema, to: string): JsonSchema {
  const { $schema: _, $id: __, "~standard": ___, ...rest } = schema;
  return rebased(rest, to) as JsonSchema;
}

function rebased(value: unknown, to: string): unknown {
  if (Array.isArray(value)) return value.map((item) => rebased(item, to));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key,
      key === "$ref" && typeof member === "string" && member.startsWith("#")
        ? to + member.slice(1)
        : rebased(member, to),
    ]),
  );
}
