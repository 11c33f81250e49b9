import type { DefinedJobs, JobDefinition } from "@quayside/core";
import * as z from "zod/mini";

export type JsonSchema = Record<string, unknown>;

export interface PayloadSource {
  readonly jobs: DefinedJobs | undefined;
}

/**
 * The schemas of jobs to add, by the job map: `NewJob` is one of the map's jobs, each with its own payload. Without a job
 * map any name and any payload will do, as `base` has it.
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
  // Of no jobs none can be added.
  components["NewJob"] = one.length > 0 ? { oneOf: one } : { not: {} };
  return components;
}

/** Returns the JSON Schema of a definition's payload, where its schema library can make one. */
function payloadSchema({ input }: JobDefinition): JsonSchema | undefined {
  if (!input) return undefined;
  try {
    if (isZod(input)) return z.toJSONSchema(input, { io: "input", unrepresentable: "any" }) as JsonSchema;
    const standard = input["~standard"] as StandardJsonSchema;
    return standard.jsonSchema?.input({ target: "draft-2020-12" });
  } catch {
    // A schema that cannot be said in JSON Schema is still checked, when a job is added.
    return undefined;
  }
}

/** The part of Standard JSON Schema that is used (https://standardschema.dev/json-schema). */
interface StandardJsonSchema {
  readonly jsonSchema?: { readonly input: (options: { readonly target: "draft-2020-12" }) => JsonSchema };
}

const isZod = (schema: object): schema is z.core.$ZodType => "_zod" in schema;

/** Moves a schema below the root of the document: prefixes its internal references with `to`. */
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
