import type * as z from "zod/mini";
import { check } from "./check-request.ts";
import { FieldsError, joinPath } from "./problem.ts";

/** A query's schema: flat, of texts, whole numbers and lists of texts. */
export type QuerySchema = z.ZodMiniObject<z.core.$ZodShape>;

/**
 * The query as its schema understands it. What a parameter may be stands in the schema alone: one that is a list may
 * stand in the query several times, one that is a number is read as one (in digits: an empty text is no 0 here).
 *
 * @param root of the parameters' paths, where it is not the URL's query that is read.
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
    } else values.push([name, kind === "number" ? numberOf(texts[0] as string) : texts[0]]);
  }
  // From entries, so that a parameter called __proto__ is one like any other.
  return check(schema, Object.fromEntries(values), root);
}

/** What the schema says of a parameter: `array`, `number`, `string`, `enum` … */
function kindOf(schema: QuerySchema, name: string): string | undefined {
  const { shape } = schema._zod.def;
  if (!Object.hasOwn(shape, name)) return undefined;
  let { def } = (shape[name] as z.core.$ZodType)._zod;
  while ("innerType" in def) def = (def.innerType as z.core.$ZodType)._zod.def;
  return def.type;
}

/** A text that is no number stays one, for the schema to refuse. */
const numberOf = (text: string): number | string => (/^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text);
