import type * as z from "zod/mini";
import { check } from "./check-request.ts";
import { FieldsError, joinPath } from "./problem.ts";

/** A schema of query parameters: an object whose fields are texts, numbers, durations and lists of texts. */
export type QuerySchema = z.ZodMiniObject<z.core.$ZodShape>;

/**
 * Reads query parameters by a schema. A list parameter may occur several times. A number parameter must be digits:
 * empty text is an error, not 0. A duration is digits (ms) or has a unit.
 *
 * @param root prefix of the parameters' paths in errors. Default: none, for the query of the URL.
 * @throws {FieldsError} `bad_request`, naming each wrong parameter.
 */
export function readQuery<Schema extends QuerySchema>(
  schema: Schema,
  query: URLSearchParams,
  root = "",
): z.output<Schema> {
  const values: [name: string, value: unknown][] = [];
  for (const name of new Set(query.keys())) {
    const texts = query.getAll(name);
    const kind = kindOf(schema, name);
    if (kind === "array") values.push([name, texts]);
    else if (texts.length > 1) {
      const message = `It stands there ${texts.length} times, and may only once.`;
      const path = joinPath(root, [name]);
      throw new FieldsError("bad_request", `The request is ambiguous: ${path}: ${message}`, [{ path, message }]);
    } else values.push([name, NUMERIC.includes(kind) ? numberOf(texts[0] as string) : texts[0]]);
  }
  // `Object.fromEntries` treats a parameter named `__proto__` as any other.
  return check(schema, Object.fromEntries(values), root);
}

/** Types of parameters whose digits are a number. A duration is a union: digits are milliseconds. */
const NUMERIC: readonly (string | undefined)[] = ["number", "union"];

/** Returns the type of a parameter in the schema, for example `array`, `number`, `string` or `enum`. */
function kindOf(schema: QuerySchema, name: string): string | undefined {
  const { shape } = schema._zod.def;
  if (!Object.hasOwn(shape, name)) return undefined;
  let { def } = (shape[name] as z.core.$ZodType)._zod;
  while ("innerType" in def) def = (def.innerType as z.core.$ZodType)._zod.def;
  return def.type;
}

/** Converts digits to a number. Returns other text unchanged, so that the schema refuses it. */
const numberOf = (text: string): number | string => (/^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text);
