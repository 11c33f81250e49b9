import { type Duration, QuaysideError, toMs } from "@quayside/core";
import { checkName } from "@quayside/core/engine";
import type { Quota } from "../object/caller-quota.ts";
import { checkCaps, type OptionCaps } from "./option-caps.ts";

/**
 * A right of a caller. `enqueue`: add jobs and watch for changes. `work`: claim, settle and read jobs. `admin`: read
 * and change jobs. `enqueue` does not include reading, because a caller could guess the ids of other callers' jobs. A
 * caller with `enqueue` can still replace other callers' waiting jobs by dedupe key and change the limit of a group;
 * `caps` of the grant can forbid both.
 */
export type Scope = "enqueue" | "work" | "admin";

/** The rights of a caller. Without `queues`, they hold for all queues. */
export interface Grant {
  readonly scopes: readonly Scope[];
  readonly queues?: readonly string[] | undefined;
  /**
   * A stable, non-secret name of the caller, at most 256 characters. Quotas, rate limits, idempotency keys, numbered
   * requests and workers are counted or stored under this name, so keep it when you renew a token. Without a subject,
   * requests with a key or a number and exchanges of workers are refused with `subject_required`. `jwtTokens` reads it
   * from `sub`.
   */
  readonly subject?: string | undefined;
  /** Limits the number of jobs that the caller adds. Default: no limit. */
  readonly quota?: QuotaOption | undefined;
  /** Limits the job options that the caller sets. Default: the limits of core. */
  readonly caps?: OptionCaps | undefined;
  /**
   * Time when the credentials expire, in ms since epoch. Event streams opened with the credentials end at this time.
   * `jwtTokens` reads it from `exp`.
   */
  readonly expiresAt?: number | undefined;
}

/** The grant of a long-lived token, for `bearerTokens`. `subject` is required. */
export interface StaticGrant extends Grant {
  readonly subject: string;
}

/**
 * A token bucket per subject and queue. It holds at most `jobs`, and refills evenly: `jobs` per `per`. The queue's
 * object checks and spends it in the transaction of the add, so the limit is exact under concurrent requests. An add
 * that exceeds the remaining quota is refused as a whole with 429 `rate_limited` and `Retry-After`; an add of more than
 * `jobs` jobs is refused with 413 `too_large`. Jobs that exist already and repeated requests do not count.
 *
 * @example { jobs: 1_000, per: "1h" }
 */
export interface QuotaOption {
  readonly jobs: number;
  readonly per: Duration;
}

/**
 * Returns the rights of a request's caller, or undefined without valid credentials. Write a function of this type for
 * cookies or signed tokens. `env` is the Worker's environment.
 *
 * @example
 * const auth: Authenticate<Env> = async (request, env) =>
 *   {
 *   const user = await userOf(request, env);
 *   return user && { scopes: ["enqueue"], queues: ["mail"], subject: user.id };
 * };
 */
export type Authenticate<Env = unknown> = (
  request: Request,
  env: Env,
) => Grant | undefined | Promise<Grant | undefined>;

/** The accepted tokens, each with its grant, or a function that returns them from the Worker's `env`. */
export type Tokens<Env = unknown> =
  | Readonly<Record<string, StaticGrant>>
  | ((env: Env) => Readonly<Record<string, StaticGrant>>);

/**
 * Combines several `Authenticate` functions: the first that returns a grant decides.
 *
 * @example
 * queueApi({ …, auth: anyOf(jwtTokens({ … }), bearerTokens((env: Env) => ({ [env.WORKER_TOKEN]: { subject: "worker", scopes: ["work"] } }))) });
 */
export function anyOf<Env = unknown>(...ways: readonly Authenticate<Env>[]): Authenticate<Env> {
  return async (request, env) => {
    for (const authenticate of ways) {
      const grant = await authenticate(request, env);
      if (grant) return grant;
    }
    return undefined;
  };
}

/** Returns the token of the header `Authorization: Bearer …`. */
export const bearerOf = (request: Request): string | undefined =>
  /^Bearer +([^ ]+) *$/i.exec(request.headers.get("authorization") ?? "")?.[1];

/**
 * Authenticates by the header `Authorization: Bearer …`. Compares tokens in constant time. Keep the tokens in secrets,
 * not in code. When you replace a caller's token, give the new one the same `subject`.
 *
 * @throws {QuaysideError} `invalid_option` if a token is empty or the text of a missing secret (`undefined`, `null`).
 */
export function bearerTokens<Env = unknown>(tokens: Tokens<Env>): Authenticate<Env> {
  const known = typeof tokens === "function" ? tokens : () => tokens;
  if (typeof tokens !== "function") checkTokens(tokens);
  return async (request, env) => {
    const shown = bearerOf(request);
    if (shown === undefined) return undefined;
    const grants = known(env);
    checkTokens(grants);
    const digest = await sha256(shown);
    let granted: Grant | undefined;
    // Compares every token in full, so that the response time does not reveal how much of a token was right.
    for (const [token, grant] of Object.entries(grants)) {
      if (isEqual(digest, await sha256(token))) granted = grant;
    }
    return granted;
  };
}

function checkTokens(grants: Readonly<Record<string, Grant>>): void {
  for (const [token, grant] of Object.entries(grants)) {
    checkSecret(token);
    checkGranted(grant);
  }
}

/**
 * Checks that a secret or token is set.
 *
 * @throws {QuaysideError} `invalid_option` if it is missing or empty: an empty secret could be guessed.
 */
export function checkSecret(secret: string | undefined): asserts secret is string {
  if (secret !== undefined && secret !== "" && secret !== "undefined" && secret !== "null") return;
  throw new QuaysideError("invalid_option", "auth has an empty secret or token: is a secret missing?", {
    option: "auth",
  });
}

async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  let difference = 0;
  for (const [index, byte] of a.entries()) difference |= byte ^ (b[index] as number);
  return difference === 0;
}

/** The default of the option `auth`: grants nothing, so every request is answered 401. */
export const grantNothing: Authenticate = () => undefined;

/**
 * Returns the grant of a request, by `auth`. A mistake in the configuration is reported as `internal`, so that the
 * caller does not see it.
 *
 * @throws {QuaysideError} `internal` if `auth` throws `invalid_option` or returns an invalid grant.
 */
export async function authenticated<Env>(
  auth: Authenticate<Env>,
  request: Request,
  env: Env,
): Promise<Grant | undefined> {
  try {
    const grant = await auth(request, env);
    if (grant) checkGranted(grant);
    return grant;
  } catch (cause) {
    if (!(cause instanceof QuaysideError) || cause.code !== "invalid_option") throw cause;
    throw new QuaysideError("internal", `auth is not set up right: ${cause.message}`, {}, cause);
  }
}

function checkGranted(grant: Grant): void {
  if (grant.subject !== undefined) checkName(grant.subject, "auth.subject");
  quotaOf(grant);
  if (grant.caps) checkCaps(grant.caps);
}

/**
 * Returns the subject of a grant. Requests with the same subject have the same caller (R37).
 *
 * @throws {QuaysideError} `subject_required` if the grant has none.
 */
export function subjectOf({ subject }: Grant): string {
  if (subject !== undefined) return subject;
  throw new QuaysideError(
    "subject_required",
    "These credentials name no subject, so a request with a key or a number, or an exchange, could not be told from " +
      "another caller's. The server's operator gives the grant a subject (of a JWT: sub).",
  );
}

/** Creates the error for a request without valid credentials. */
export const unauthorized = () => new QuaysideError("unauthorized", "This request carries no valid credentials.");

/**
 * Checks that a grant has one of the scopes, for the given queue.
 *
 * @param scopes the scopes of which the grant needs one.
 * @throws {QuaysideError} `forbidden`.
 */
export function checkGrant(grant: Grant, scopes: readonly Scope[], queue: string): void {
  if (!scopes.some((scope) => grant.scopes.includes(scope))) {
    throw new QuaysideError("forbidden", `This needs the scope ${scopes.join(" or ")}.`, { scopes });
  }
  if (grant.queues && !grant.queues.includes(queue)) {
    throw new QuaysideError("forbidden", `These credentials are not for queue ${queue}.`, { queue });
  }
}

/**
 * Returns the quota of a grant in the form that the queue's object expects.
 *
 * @throws {QuaysideError} `invalid_option` if the grant has an invalid quota, or a quota without a subject.
 */
export function quotaOf({ quota, subject }: Grant): Quota | undefined {
  if (!quota) return undefined;
  if (subject === undefined) {
    throw new QuaysideError("invalid_option", "A grant with a quota needs a subject.", { option: "auth.subject" });
  }
  return { subject, ...readQuota(quota) };
}

function readQuota({ jobs, per }: QuotaOption): Omit<Quota, "subject"> {
  const perMs = toMs(per, "auth.quota.per");
  if (Number.isSafeInteger(jobs) && jobs > 0 && perMs > 0 && Number.isSafeInteger(jobs * perMs)) {
    return { max: jobs, perMs };
  }
  throw new QuaysideError(
    "invalid_option",
    `auth.quota must be a whole number of jobs, at least 1, per a time above 0, got ${jobs} per ${per}.`,
    { option: "auth.quota" },
  );
}
