import fc from "fast-check";
import { broken } from "./break.ts";
import { type Schema, valuesOf } from "./from-schema.ts";
import { headerText, percent, rawBody, wrongParameter, wrongSegment } from "./raw.ts";

/** The parts of `openapi.json` that requests are made from. */
export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly parameters: Readonly<Record<string, Parameter>>;
  };
}

export interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly (Parameter | { readonly $ref: string })[];
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }>
  >;
  readonly requestBody?: { readonly content: { readonly "application/json": { readonly schema: Schema } } };
}

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly schema: Schema;
}

export interface FuzzRequest {
  readonly operation: string;
  /** What was done to a request that was right. */
  readonly way: string;
  readonly method: string;
  readonly path: string;
  readonly token: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array | undefined;
}

/** What is there to be found, beside what the requests add themselves. */
export interface Known {
  readonly ids: readonly string[];
  readonly keys: readonly string[];
  /** Tokens: one that may do everything, one for queue `mail` alone, and some that may do less or nothing. */
  readonly all: string;
  readonly mail: string;
  readonly lesser: readonly string[];
}

/** The parts of a request that can be broken, each by itself. */
interface Parts {
  readonly method: string;
  /** The path's segments, decoded. */
  readonly segments: readonly string[];
  readonly query: readonly (readonly [name: string, value: string])[];
  readonly headers: Readonly<Record<string, string>>;
  readonly value: unknown;
}

/** Requests of all operations of a document: right ones, and right ones with something wrong. */
export function requestsOf(document: Document, known: Known): fc.Arbitrary<FuzzRequest> {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      // Where there is more to get wrong.
      weight: operation.operationId === "watchQueue" ? 1 : operation.requestBody ? 12 : path.includes("{id}") ? 5 : 3,
      arbitrary: requestsTo(document, known, method, path, operation),
    })),
  );
  return fc.oneof(...operations);
}

function requestsTo(
  document: Document,
  known: Known,
  method: string,
  path: string,
  operation: Operation,
): fc.Arbitrary<FuzzRequest> {
  const { schemas, parameters } = document.components;
  const given = (operation.parameters ?? []).map((parameter) =>
    "$ref" in parameter ? (parameters[parameter.$ref.replace("#/components/parameters/", "")] as Parameter) : parameter,
  );
  const hints = {
    id: fc.constantFrom(...known.ids),
    worker: fc.nat(60).map((n) => `worker-${n}`),
    exchange: fc.integer({ min: 1, max: 5 }),
    token: tokens,
    running: fc.array(tokens, { maxLength: 3 }),
    limit: fc.integer({ min: 1, max: 3 }),
  };
  const values = (schema: Schema) => valuesOf(schema, schemas, hints);
  const bodySchema = operation.requestBody?.content["application/json"].schema;
  const bodies = bodySchema ? values(bodySchema) : fc.constant(undefined);
  const names: Record<string, fc.Arbitrary<string>> = {
    queue: fc.constant("mail"),
    id: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...known.ids) }, fc.string({ minLength: 1, maxLength: 9 })),
    key: fc.oneof(fc.constantFrom(...known.keys), fc.string({ minLength: 1, maxLength: 9, unit: "binary" })),
  };
  const segments = fc.tuple(
    ...path
      .split("/")
      .slice(1)
      .map((segment) => {
        const name = /^\{(\w+)\}$/.exec(segment)?.[1];
        return name === undefined ? fc.constant(segment) : (names[name] as fc.Arbitrary<string>);
      }),
  );
  const queryNames = given.filter((parameter) => parameter.in === "query").map(({ name }) => name);
  const query = fc
    .tuple(
      ...given
        .filter((parameter) => parameter.in === "query")
        .map(({ name, schema }) =>
          fc.option(values(schema), { nil: undefined, freq: 2 }).map((value) => {
            if (value === undefined) return [];
            return (Array.isArray(value) ? value : [value]).map((one) => [name, `${one}`.toWellFormed()] as const);
          }),
        ),
    )
    .map((pairs) => pairs.flat());
  const headers = given.some(({ in: place, name }) => place === "header" && /^idempotency-key$/i.test(name))
    ? fc.option(
        // Few, so that some come again: with the same body, or with another.
        fc.nat(50).map((key) => ({ "idempotency-key": `"key-${key}"` })),
        { nil: {} },
      )
    : fc.constant({});
  const parts: fc.Arbitrary<Parts> = fc.record({
    method: fc.constant(method.toUpperCase()),
    segments,
    query,
    headers,
    value: bodies,
  });
  const finished = (
    way: string,
    requests: fc.Arbitrary<Partial<FuzzRequest> & Omit<FuzzRequest, "operation" | "way">>,
  ) => requests.map((request) => ({ ...request, operation: operation.operationId, way }));
  const ways = [
    {
      weight: 3,
      arbitrary: finished(
        "right",
        parts.map((right) => assemble(right, known.all)),
      ),
    },
    {
      weight: bodySchema ? 6 : 0,
      arbitrary: finished(
        "body",
        fc.tuple(parts, broken(bodies)).map(([right, value]) => assemble({ ...right, value }, known.all)),
      ),
    },
    {
      weight: bodySchema ? 2 : 0,
      arbitrary: finished(
        "text",
        fc.tuple(parts, rawBody).map(([right, make]) => ({ ...assemble(right, known.all), ...make(right.value) })),
      ),
    },
    {
      weight: 2,
      arbitrary: finished(
        "query",
        fc
          .tuple(parts, fc.array(wrongParameter(queryNames), { minLength: 1, maxLength: 3 }), percent)
          .map(([right, wrong, tail]) => {
            const request = assemble({ ...right, query: [...right.query, ...wrong] }, known.all);
            return { ...request, path: `${request.path}${tail}` };
          }),
      ),
    },
    {
      weight: 2,
      arbitrary: finished(
        "path",
        fc.tuple(parts, fc.nat(5), wrongSegment, fc.boolean()).map(([right, at, wrong, all]) => {
          const segments = right.segments.map((segment, index) =>
            index === at % right.segments.length ? wrong : encodeURIComponent(segment.toWellFormed()),
          );
          return { ...assemble(right, all ? known.all : known.mail), path: `/${segments.join("/")}` };
        }),
      ),
    },
    {
      weight: 1,
      arbitrary: finished(
        "method",
        fc
          .tuple(parts, fc.constantFrom("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND"))
          .map(([right, method]) => assemble({ ...right, method }, known.all)),
      ),
    },
    {
      weight: 3,
      arbitrary: finished(
        "credentials",
        fc.tuple(parts, fc.constantFrom(...known.lesser, known.mail)).map(([right, token]) => {
          const elsewhere = right.segments.map((segment) => (segment === "mail" ? "logs" : segment));
          return assemble(token === known.mail ? { ...right, segments: elsewhere } : right, token);
        }),
      ),
    },
    {
      weight: 1,
      arbitrary: finished(
        "headers",
        fc
          .tuple(parts, fc.constantFrom("idempotency-key", "quayside-request", "content-type", "accept"), headerText)
          .map(([right, name, text]) => {
            const request = assemble(right, known.all);
            return { ...request, headers: { ...request.headers, [name]: text } };
          }),
      ),
    },
  ];
  return fc.oneof(...ways);
}

function assemble({ method, segments, query, headers, value }: Parts, token: string) {
  const path = segments.map((segment) => encodeURIComponent(segment.toWellFormed())).join("/");
  const search = query.length > 0 ? `?${new URLSearchParams(query.map(([name, text]) => [name, text]))}` : "";
  const bare = method === "GET" || method === "HEAD" || value === undefined;
  return {
    method,
    path: `/${path}${search}`,
    token,
    headers: bare ? headers : { "content-type": "application/json", ...headers },
    body: bare ? undefined : JSON.stringify(value),
  };
}

/** As the first exchanges of a worker give them out. */
const tokens = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.nat(1)).map(([exchange, index]) => `${exchange}.${index}`);
