import { DEFAULTS, type ErrorCode, LIMITS, toMs } from "@quayside/core";
import { PROTOCOL, PROTOCOL_HEADER } from "@quayside/core/engine";
import * as z from "zod/mini";
import { MEANINGS } from "./codes.ts";
import { DESCRIBED } from "./core-schemas.ts";
import type { ApiLimits } from "./limits.ts";
import { type JsonSchema, newJobSchemas, type PayloadSource } from "./payload-schemas.ts";
import { STATUS, TITLES } from "./problem.ts";
import * as requests from "./request-schemas.ts";
import { answers } from "./response-schemas.ts";
import type { Route } from "./route.ts";
import { routes } from "./routes.ts";

/** Error codes that every route which requires credentials can answer. */
const GUARDED: readonly ErrorCode[] = [
  ...(["bad_request", "unsupported_version", "invalid_option", "unauthorized", "forbidden", "rate_limited"] as const),
  ...(["internal", "network", "storage_unavailable"] as const),
];
/** Error codes that every path answers, also without credentials. */
const OPEN: readonly ErrorCode[] = ["unsupported_version", "method_not_allowed"];
/** Headers of an answer by its error code: the name in `components.headers` by that of the header. */
const HEADERS: { readonly [Code in ErrorCode]?: Readonly<Record<string, string>> } = {
  in_progress: { "Retry-After": "RetryAfter" },
  rate_limited: { "Retry-After": "RetryAfter" },
  queue_full: { "Retry-After": "RetryAfter" },
  method_not_allowed: { Allow: "Allow" },
};
const PROBLEM = "application/problem+json";
const IDEMPOTENCY_KEY = "IdempotencyKey";
const PROTOCOL_VERSION = "Protocol";

/** Returns a function that creates the text of `openapi.json` at its first call. */
export function openApiText(options: OpenApiOptions): () => string {
  let text: string | undefined;
  return () => {
    text ??= JSON.stringify(openApiDocument(options));
    return text;
  };
}

/** Options of `openApiDocument`. */
export interface OpenApiOptions extends PayloadSource {
  readonly limits: ApiLimits;
}

/** Creates the OpenAPI 3.1 document from the table of routes and their schemas. */
export function openApiDocument({ jobs, limits }: OpenApiOptions): JsonSchema {
  const schemas = componentSchemas();
  const newJobs = newJobSchemas(schemas["NewJob"] as JsonSchema, { jobs });
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route, limits) };
  }
  return {
    openapi: "3.1.1",
    info: {
      title: "Quayside",
      version: "1",
      description:
        "Queues of jobs: to add to, to look into, to work. Durations are ms, or texts with a unit (`5m`, `1.5 h`); instants are ms since epoch. Errors are problem details (RFC 9457); branch on `code`.",
    },
    // Relative to the document's URL, so the path at which the API is mounted does not matter.
    servers: [{ url: "." }],
    security: [{ bearer: [] }],
    paths,
    components: {
      schemas: { ...schemas, ...newJobs },
      parameters: {
        [IDEMPOTENCY_KEY]: {
          name: "Idempotency-Key",
          in: "header",
          description: `A structured field string, new for each request and the same when it is sent again: then it is done once, and answered as before, for ${toMs(limits.keyTtl, "keyTtl") / 3_600_000} h. Keys are the caller's own.`,
          schema: { type: "string", minLength: 1, maxLength: 512 },
          example: '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
        },
        [PROTOCOL_VERSION]: {
          name: PROTOCOL_HEADER,
          in: "header",
          description: `The version of the protocol that the request is of; without it, 1. This server reads ${PROTOCOL}.`,
          schema: { type: "integer", default: 1 },
        },
      },
      headers: {
        RetryAfter: { description: "Seconds after which to ask again.", schema: { type: "integer", minimum: 0 } },
        [PROTOCOL_VERSION]: {
          description: "The version of the protocol that the answer is of; without it, 1.",
          schema: { type: "integer" },
        },
        Allow: { description: "The methods that this path takes.", schema: { type: "string" } },
      },
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
    },
  };
}

function operation(route: Route, limits: ApiLimits): JsonSchema {
  const { id, summary, scopes, open, status, errors } = route;
  const parameters = parametersOf(route);
  return {
    operationId: id,
    summary,
    ...(scopes && { description: `Needs the scope ${scopes.map((scope) => `\`${scope}\``).join(" or ")}.` }),
    ...(open && { security: [] }),
    parameters,
    ...(route.body && { requestBody: requestBody(route, limits) }),
    responses: {
      [status]: {
        description: "Done.",
        headers: { [PROTOCOL_HEADER]: { $ref: `#/components/headers/${PROTOCOL_VERSION}` } },
        content: contentOf(route),
      },
      ...problems([
        ...(open ? [] : GUARDED),
        ...OPEN,
        ...errors,
        ...(route.body ? (["unsupported_media_type"] as const) : []),
      ]),
    },
  };
}

function parametersOf({ path, query, idempotencyKey }: Route): readonly JsonSchema[] {
  const inPath = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: {
      type: "string",
      minLength: 1,
      maxLength: LIMITS.nameLength,
      // URLs resolve such segments, even if they are escaped.
      ...(name === "key" && { not: { enum: [".", ".."] } }),
    },
  }));
  const { properties = {}, required = [] } = query ? plain(z.toJSONSchema(query, { io: "input", override })) : {};
  const inQuery = Object.entries(properties as Record<string, JsonSchema>).map(([name, schema]) => ({
    name,
    in: "query",
    required: (required as readonly string[]).includes(name),
    schema,
  }));
  const inHeader = [...(idempotencyKey ? [IDEMPOTENCY_KEY] : []), PROTOCOL_VERSION].map((name) => ({
    $ref: `#/components/parameters/${name}`,
  }));
  return [...inPath, ...inQuery, ...inHeader];
}

function requestBody({ body, many }: Route, limits: ApiLimits): JsonSchema {
  const one = reference(nameOf(body as z.ZodMiniType));
  const schema = many ? { oneOf: [one, { type: "array", items: one, maxItems: limits.jobs }] } : one;
  return {
    required: true,
    description: `At most ${limits.bodyBytes} bytes; a payload at most ${limits.payloadBytes} bytes, and ${DEFAULTS.nestingLimit} levels deep.`,
    content: { "application/json": { schema } },
  };
}

function contentOf({ answer }: Route): JsonSchema {
  if (answer === "events") return { "text/event-stream": { schema: { type: "string" } } };
  return { "application/json": { schema: answer === "openapi" ? { type: "object" } : reference(answer) } };
}

/** Returns the error responses of a route for `openapi.json`: the codes, grouped by HTTP status, with descriptions. */
function problems(codes: readonly ErrorCode[]): Record<string, unknown> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set(codes)) byStatus.set(STATUS[code], [...(byStatus.get(STATUS[code]) ?? []), code]);
  return Object.fromEntries(
    [...byStatus].map(([status, meant]) => [
      status,
      {
        description: `${TITLES[status]}. ${meant.map((code) => `\`${code}\`: ${MEANINGS[code]}`).join(" ")}`,
        ...headersOf(meant),
        content: { [PROBLEM]: { schema: reference("Problem") } },
      },
    ]),
  );
}

function headersOf(codes: readonly ErrorCode[]): JsonSchema {
  const names = Object.entries(Object.assign({}, ...codes.map((code) => HEADERS[code])) as Record<string, string>);
  if (names.length === 0) return {};
  return {
    headers: Object.fromEntries(names.map(([header, name]) => [header, { $ref: `#/components/headers/${name}` }])),
  };
}

const reference = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` });

/** By request schema, its name in `components` of the document. */
const NAMES = new Map<z.ZodMiniType, string>([
  [requests.jobBody, "NewJob"],
  [requests.updateBody, "JobUpdate"],
  [requests.idsBody, "JobIds"],
  [requests.scheduleBody, "NewSchedule"],
  [requests.exchangeBody, "Exchange"],
  [requests.settingsBody, "Settings"],
]);
const nameOf = (schema: z.ZodMiniType): string => NAMES.get(schema) as string;

/** For the conversion to JSON Schema: adds the constraints that core checks to the type of a value. */
const override: NonNullable<z.core.JSONSchemaGeneratorParams["override"]> = ({ zodSchema, jsonSchema }) => {
  const described = zodSchema === requests.recurrenceRule ? eitherRule(jsonSchema) : DESCRIBED.get(zodSchema);
  if (!described) return;
  for (const key of Object.keys(jsonSchema)) delete (jsonSchema as JsonSchema)[key];
  Object.assign(jsonSchema, described);
};

/** Returns the schema of a rule that has either `every`, or `cron` and `timeZone`. */
function eitherRule({ properties, ...rest }: JsonSchema): JsonSchema {
  const { every, cron, timeZone, ...bounds } = properties as JsonSchema;
  const rule = (own: JsonSchema, required: string) => ({
    ...rest,
    properties: { ...own, ...bounds },
    required: [required],
  });
  return { oneOf: [rule({ every }, "every"), rule({ cron, timeZone }, "cron")] };
}

function componentSchemas(): Record<string, JsonSchema> {
  const registry = z.registry<{ id: string }>();
  for (const [schema, id] of NAMES) registry.add(schema, { id });
  for (const [id, schema] of Object.entries(answers())) registry.add(schema, { id });
  const { schemas } = z.toJSONSchema(registry, {
    io: "input",
    uri: (id) => `#/components/schemas/${id}`,
    override,
  });
  return Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, plain(schema as JsonSchema)]));
}

/** Removes the fields that are only valid at the root of a schema document. */
function plain({ $schema: _, $id: __, "~standard": ___, ...schema }: JsonSchema): JsonSchema {
  return schema;
}
