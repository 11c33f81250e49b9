import {
  type DefinedJobs,
  type JobDefinition,
  type JobOptions,
  type PayloadIssue,
  QuaysideError,
} from "@quayside/core";
import { checkPathName, EVERY_OPTION, type NewJob, prepareJob } from "@quayside/core/engine";
import type { Grant } from "./auth.ts";
import type { ApiLimits } from "./limits.ts";
import { checkAgainst } from "./option-caps.ts";
import { FieldsError, joinPath, summary } from "./problem.ts";
import type { JobBody } from "./request-schemas.ts";

export interface ReadJobsOptions {
  readonly queue: string;
  readonly grant: Grant;
  readonly jobs: DefinedJobs | undefined;
  readonly limits: ApiLimits;
}

/**
 * Reads the jobs of a request body (one job or a list) and checks them as a `Queue` does: resolves their options and
 * checks their payloads by the job map.
 *
 * @throws {FieldsError} `invalid_option`, `unknown_job`, `invalid_payload` or `payload_too_large`, naming the fields.
 */
export async function readJobs(
  body: JobBody | readonly JobBody[],
  options: ReadJobsOptions,
): Promise<readonly NewJob[]> {
  if (!isMany(body)) return [await readJob(body, "", options)];
  return Promise.all(body.map((job, index) => readJob(job, `[${index}]`, options)));
}

const isMany = (body: JobBody | readonly JobBody[]): body is readonly JobBody[] => Array.isArray(body);

/**
 * Reads and checks one job of a request body.
 *
 * @param root path of the job in the body, e.g. `[3]`.
 * @throws {FieldsError} `invalid_option`, `unknown_job`, `invalid_payload` or `payload_too_large`, naming the fields.
 */
export async function readJob(
  body: JobBody,
  root: string,
  { queue, grant, jobs, limits }: ReadJobsOptions,
): Promise<NewJob> {
  const { name, payload, options, flow, trace, sealed } = body;
  const at = (...parts: readonly string[]) => joinPath(root, parts);
  try {
    const definition = definitionOf(jobs, name);
    if (options?.id !== undefined) checkPathName(options.id, "id");
    checkAgainst(grant.caps, options as JobOptions | undefined, (option) => at("options", option));
    const draft = { queue, name, payload, options: options as JobOptions | undefined, flow, trace, sealed };
    const settings = { parsers: EVERY_OPTION, payloadLimit: limits.payloadBytes, now: Date.now() };
    return await prepareJob(draft, definition, settings);
  } catch (error) {
    throw located(error, at);
  }
}

/** Returns the definition of a job name. Without a job map, every name is accepted. */
function definitionOf(jobs: DefinedJobs | undefined, name: string): JobDefinition | undefined {
  if (!jobs || Object.hasOwn(jobs, name)) return jobs?.[name];
  throw new QuaysideError("unknown_job", `There is no job ${JSON.stringify(name)} in the job map.`, { job: name });
}

/** Converts an error of core to an error that has the field's path in the request. `at` returns the path of a field. */
function located(error: unknown, at: (...parts: readonly string[]) => string): unknown {
  if (!(error instanceof QuaysideError) || error instanceof FieldsError) return error;
  const { code, message, details } = error;
  switch (code) {
    case "invalid_option":
      return new FieldsError(code, message, [{ path: at("options", String(details["option"])), message }]);
    case "payload_too_large":
      return new FieldsError(code, message, [{ path: at("payload"), message: `At most ${details["limit"]} bytes` }]);
    case "unknown_job":
      return new FieldsError(code, message, [{ path: at("name"), message }]);
    case "invalid_payload": {
      const issues = details["issues"] as readonly PayloadIssue[] | undefined;
      // The payload is not JSON that can be stored; core gives its path.
      if (!issues) return new FieldsError(code, message, [{ path: at(String(details["path"])), message }]);
      const errors = issues.map((issue) => ({ path: nested(at("payload"), issue.path), message: issue.message }));
      return new FieldsError(code, `The payload does not fit the schema of its job: ${summary(errors)}.`, errors);
    }
    default:
      return error;
  }
}

const nested = (root: string, path: string) =>
  path === "" || path.startsWith("[") ? `${root}${path}` : `${root}.${path}`;
