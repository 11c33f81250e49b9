import { QuaysideError } from "@quayside/core";

/**
 * What a caller may do. `enqueue`: add jobs, and watch for changes. `work`: claim and settle jobs, and read them.
 * `admin`: read jobs and act on them. A producer cannot read: the ids of others' jobs can be guessed from one's own.
 */
export type Scope = "enqueue" | "work" | "admin";

/** What a caller was granted. `queues` absent: all of them. */
export interface Grant {
  /**
   * Who it is, in one word that stays the same when a token is renewed: an `Idempotency-Key` is the caller's own.
   * Absent: the credentials themselves (their hash) tell callers apart.
   */
  readonly subject?: string;
  readonly scopes: readonly Scope[];
  readonly queues?: readonly string[];
}

/**
 * Says what a request may do: undefined when it carries no valid credentials. Write your own for cookies or signed
 * tokens. `env` is the Worker's.
 *
 * @example
 * const auth: Authenticate<Env> = async (request, env) =>
 *   (await isSignedIn(request, env)) ? { scopes: ["enqueue"], queues: ["mail"] } : undefined;
 */
export type Authenticate<Env = unknown> = (
  request: Request,
  env: Env,
) => Grant | undefined | Promise<Grant | undefined>;

/** The tokens that are known and what each grants, or how to get them from the Worker's secrets. */
export type Tokens<Env = unknown> = Readonly<Record<string, Grant>> | ((env: Env) => Readonly<Record<string, Grant>>);

/**
 * Grants by `Authorization: Bearer …`. Tokens are compared in constant time. Keep them in secrets, not in the code.
 *
 * @throws {QuaysideError} `invalid_option` at a token that is empty or stands for a missing secret.
 * @example
 * queueApi({ …, auth: bearerTokens((env: Env) => ({ [env.WORKER_TOKEN]: { scopes: ["work"], queues: ["mail"] } })) });
 */
export function bearerTokens<Env = unknown>(tokens: Tokens<Env>): Authenticate<Env> {
  const known = typeof tokens === "function" ? tokens : () => tokens;
  if (typeof tokens !== "function") checkTokens(tokens);
  return async (request, env) => {
    const shown = /^Bearer +([^ ]+) *$/i.exec(request.headers.get("authorization") ?? "")?.[1];
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
  for (const token of Object.keys(grants)) {
    if (token !== "" && token !== "undefined" && token !== "null") continue;
    // A secret that was never set would be a key that anyone can guess.
    throw new QuaysideError("invalid_option", "auth has an empty token: is a secret missing?", { option: "auth" });
  }
}

async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  let difference = 0;
  for (const [index, byte] of a.entries()) difference |= byte ^ (b[index] as number);
  return difference === 0;
}

/** Closed by default: without `auth` nobody is anybody. */
export const nobody: Authenticate = () => undefined;

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
