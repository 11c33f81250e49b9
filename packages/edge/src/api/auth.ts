import { type Duration, QuaysideError, toMs } from "@quayside/core";
import { checkName } from "@quayside/core/engine";
import type { Quota } from "../object/caller-quota.ts";
import { checkCaps, type OptionCaps } from "./option-caps.ts";

/**
 * A right of a caller. `enqueue`: add jobs, and watch for changes. `work`: claim and settle jobs, and read them.
 * `admin`: read jobs and act on them. A producer cannot read: the ids of others' jobs can be guessed from one's own. Yet
 * it changes waiting jobs of others by their dedupe key, and the limit of a group: a grant's `caps` can forbid it.
 */
export type Scope = "enqueue" | "work" | "admin";

/** The rights of a caller. `queues` absent: all of them. */
export interface Grant {
  readonly scopes: readonly Scope[];
  readonly queues?: readonly string[];
  /**
   * A stable name of the caller, of at most 256 characters and never a secret: its quota, its rate, its idempotency keys,
   * its numbered requests and its workers go by it, so it stays when a token is renewed. Without one a request that has a
   * key or a number, and each exchange of a worker, is refused with `subject_required`. `jwtTokens` takes it from `sub`.
   */
  readonly subject?: string;
  /** How many jobs it may add. Absent: any number. */
  readonly quota?: QuotaOption;
  /** Bounds of the options of its jobs. Absent: those of core. */
  readonly caps?: OptionCaps;
  /** When the credentials end, in ms since epoch: streams that they opened end with them. `jwtTokens` takes it from `exp`. */
  readonly expiresAt?: number;
}

/** The grant of a token that is the same for a long time. */
export interface StaticGrant extends Grant {
  readonly subject: string;
}

/**
 * A bucket of `jobs` that fills again evenly within `per`, each subject's own in each queue: so many at once, and as many
 * per `per` from then on. The queue's object checks and spends it in the transaction of the add, so it holds exactly,
 * however many requests come at once and from wherever. An add that it has no room for is refused as a whole, with 429
 * `rate_limited` and `Retry-After`; one of more jobs than `jobs` with 413 `too_large`. Jobs that stood already cost
 * nothing, and neither does a request that is sent again.
 *
 * @example { jobs: 1_000, per: "1h" }
 */
export interface QuotaOption {
  readonly jobs: number;
  readonly per: Duration;
}

/**
 * Says what a request may do: undefined when it carries no valid credentials. Write your own for cookies or signed
 * tokens. `env` is the Worker's.
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

/** The tokens that are known and what each grants, or how to get them from the Worker's secrets. */
export type Tokens<Env = unknown> =
  | Readonly<Record<string, StaticGrant>>
  | ((env: Env) => Readonly<Record<string, StaticGrant>>);

/**
 * Combines several ways of authentication: the first one that returns a grant decides.
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

/** The token of `Authorization: Bearer …`. */
export const bearerOf = (request: Request): string | undefined =>
  /^Bearer +([^ ]+) *$/i.exec(request.headers.get("authorization") ?? "")?.[1];

/**
 * Grants by `Authorization: Bearer …`. Tokens are compared in constant time. Keep them in secrets, not in the code. Each
 * names the `subject` that it is of: the old and the new token of one caller name the same.
 *
 * @throws {QuaysideError} `invalid_option` at a token that is empty or stands for a missing secret.
 * @example
 * queueApi({
 *   …,
 *   auth: bearerTokens((env: Env) => ({
 *     [env.WORKER_TOKEN]: { subject: "worker", scopes: ["work"], queues: ["mail"] },
 *   })),
 * });
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
    // All are compared, and whole: how long it takes tells nothing of how much was right.
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

/** @throws {QuaysideError} `invalid_option`: a secret that was never set would be a key that anyone can guess. */
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

/** The default of `auth`: grants nothing, so every request is answered 401. */
export const grantNothing: Authenticate = () => undefined;

/**
 * Returns the grant of a request. A mistake in the configuration is not shown to the caller.
 *
 * @throws {QuaysideError} `internal` where `auth` throws `invalid_option`, or grants what cannot be.
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
 * Returns the subject of a grant: two requests with the same subject have the same caller (R37).
 *
 * @throws {QuaysideError} `subject_required` where it has none.
 */
export function subjectOf({ subject }: Grant): string {
  if (subject !== undefined) return subject;
  throw new QuaysideError(
    "subject_required",
    "These credentials name no subject, so a request with a key or a number, or an exchange, could not be told from " +
      "another caller's. The server's operator gives the grant a subject (of a JWT: sub).",
  );
}

/** Who are you? */
export const unauthorized = () => new QuaysideError("unauthorized", "This request carries no valid credentials.");

/**
 * You may not.
 *
 * @param scopes any one of these is enough.
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
 * Returns the quota of a grant in the form that the queue's object takes.
 *
 * @throws {QuaysideError} `invalid_option` when the grant has a quota without a subject, or an invalid quota.
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
