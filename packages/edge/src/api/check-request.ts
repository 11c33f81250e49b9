import { en } from "zod/locales";
import type * as z from "zod/mini";
import { type FieldError, FieldsError, joinPath, summary } from "./problem.ts";

const english = en().localeError;

/** Maximum number of wrong fields that an error response lists, so that the response is smaller than the request. */
const ERRORS_NAMED = 100;

/**
 * Checks a value against a schema and returns the schema's output.
 *
 * @param root path of `value` in the request, e.g. `[3]`.
 * @throws {FieldsError} `bad_request`, naming each wrong field.
 */
export function check<Schema extends z.ZodMiniType>(schema: Schema, value: unknown, root = ""): z.output<Schema> {
  const result = parse(schema, value, root);
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap((issue) => fieldErrors(issue, root));
  const detail = `The request is not of the right shape: ${summary(errors)}.`;
  throw new FieldsError("bad_request", detail, errors.slice(0, ERRORS_NAMED));
}

function parse<Schema extends z.ZodMiniType>(schema: Schema, value: unknown, root: string) {
  try {
    return schema.safeParse(value, { error: english });
  } catch (cause) {
    // The parser passes all issues of a list as arguments of one call; JavaScript engines accept about 100,000.
    if (!(cause instanceof RangeError)) throw cause;
    const message = "More is wrong with it than can be named.";
    throw new FieldsError("bad_request", `The request is not of the right shape: ${message}`, [
      { path: root, message },
    ]);
  }
}

function fieldErrors(issue: z.core.$ZodIssue, root: string): readonly FieldError[] {
  const path = joinPath(root, issue.path);
  if (issue.code !== "unrecognized_keys") return [{ path, message: issue.message }];
  return issue.keys.map((key) => ({ path: joinPath(path, [key]), message: "There is no such field." }));
}
