import { type DefinedJobs, isQuaysideError, type JobDefinition, type JobOptions, QuaysideError } from "@quayside/core";
import { checkPathName, EVERY_OPTION, type NewJob, prepareJob } from "@quayside/core/engine";
import type { Grant } from "./auth.ts";
import type { ApiLimits } from "./limits.ts";
import { checkAgainst } from "./option-caps.ts";
import { type FieldError, FieldsError, joinPath, summary } from "./problem.ts";
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
    throw located(error, root, at);
  }
}

/** Returns the definition of a job name. Without a job map, every name is accepted. */
function definitionOf(jobs: DefinedJobs | undefined, name: string): JobDefinition | undefined {
  if (!jobs || Object.hasOwn(jobs, name)) return jobs?.[name];
  throw new QuaysideError("unknown_job", `There is no job ${JSON.stringify(name)} in the job map.`, { job: name });
}

/**
 * Converts an error of core to an error that has the field's path in the request. `at` returns the path of a field. The
 * details are those of core; in a list, they have the place of the job, as in an error of `addJobs`.
 */
function located(error: unknown, root: string, at: (...parts: readonly string[]) => string): unknown {
  if (!(error instanceof QuaysideError) || error instanceof FieldsError) return error;
  const details = root.startsWith("[") ? { ...error.details, at: `jobs${root}` } : error.details;
  const refuse = (errors: readonly FieldError[], message = error.message) =>
    new FieldsError(error.code, message, errors, details);
  const { message } = error;
  if (isQuaysideError(error, "invalid_option"))
    return refuse([{ path: at("options", String(error.details.option)), message }]);
  if (isQuaysideError(error, "payload_too_large"))
    return refuse([{ path: at("payload"), message: `At most ${error.details.limit} bytes` }]);
  if (isQuaysideError(error, "unknown_job")) return refuse([{ path: at("name"), message }]);
  if (!isQuaysideError(error, "invalid_payload")) return error;
  const errors = error.details.issues.map((issue) => ({
    path: nested(at("payload"), issue.path),
    message: issue.message,
  }));
  // Without a job, the payload is not JSON that can be stored.
  return error.details.job === undefined
    ? refuse(errors)
    : refuse(errors, `The payload does not fit the schema of its job: ${summary(errors)}.`);
}

const nested = (root: string, path: string) =>
  path === "" || path.startsWith("[") ? `${root}${path}` : `${root}.${path}`;
