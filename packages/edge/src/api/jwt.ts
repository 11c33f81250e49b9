import { type Duration, QuaysideError, toMs } from "@quayside/core";
import { checkName } from "@quayside/core/engine";
import type { JWTPayload } from "jose";
import { type Authenticate, bearerOf, type Grant, type Scope } from "./auth.ts";
import { type JwtAlgorithm, type JwtKeys, KeyRing } from "./jwt-keys.ts";

/** The claims of a verified token. By default, a grant is made of `scope` and `queues`. */
export type JwtClaims = JWTPayload;

/** Options of `jwtTokens`. */
export interface JwtOptions<Env = unknown> {
  /**
   * The only accepted algorithm. Tokens with another algorithm in their header are invalid. `HS…` requires a secret;
   * the others require public keys.
   */
  readonly algorithm: JwtAlgorithm;
  /**
   * The keys that verify tokens, or a function that returns them from the Worker's secrets: one key, several (during a
   * rotation), a key set, or the URL of a key set. A URL is fetched when it is needed, kept for ten minutes, and
   * fetched again for an unknown `kid`, at most every 30 seconds. A token with a `kid` is verified with the keys of
   * that `kid` and those without one.
   */
  readonly keys: JwtKeys | ((env: Env) => JwtKeys);
  /** Accepted values of `iss`. Default: any issuer. */
  readonly issuer?: string | readonly string[] | undefined;
  /** Accepted values of `aud`. Default: any audience, including tokens that were issued for another service. */
  readonly audience?: string | readonly string[] | undefined;
  /**
   * Maximum difference between the issuer's clock and this one. Extends the range of `exp` and `nbf` by this time.
   * Default: 0; at most 5 minutes.
   */
  readonly clockTolerance?: Duration | undefined;
  /**
   * Returns the grant for the claims of a valid token, or undefined to answer 401. Default: the scopes in the claim
   * `scope`, separated by spaces (unknown scopes are ignored), for the queues in the claim `queues`, or for all queues
   * without that claim.
   */
  readonly grant?: ((claims: JwtClaims, env: Env) => Grant | undefined | Promise<Grant | undefined>) | undefined;
}

const MOST_TOLERANCE_MS = 300_000;

/**
 * Authenticates by a signed token (JWT) in the header `Authorization: Bearer …`. The token must be signed with
 * `algorithm` by one of `keys`, must have an expiry (`exp`), must have begun (`nbf`), and must have the `issuer` and
 * `audience` if they are set. Unless `grant` returns a subject, the grant's subject is made of `iss` and `sub`; without
 * `sub`, a grant with a quota is refused.
 *
 * @throws {QuaysideError} `invalid_option` if a key is missing, does not suit the algorithm, or is too weak
 * (RFC 7518, 3.2 and 3.3), immediately if `keys` is not a function; `network` while a key set cannot be fetched.
 */
export function jwtTokens<Env = unknown>(options: JwtOptions<Env>): Authenticate<Env> {
  const { algorithm, keys, issuer, audience, grant = grantOfClaims } = options;
  const checks = {
    requiredClaims: ["exp"],
    clockTolerance: toleranceSeconds(options.clockTolerance ?? 0),
    ...(issuer !== undefined && { issuer: namesOf(issuer, "auth.issuer") }),
    ...(audience !== undefined && { audience: namesOf(audience, "auth.audience") }),
  };
  let last: { readonly text: string; readonly ring: KeyRing } | undefined;
  // Creates a new key ring only when the secrets change, so that imported and fetched keys are reused.
  const ringOf = (given: JwtKeys): KeyRing => {
    const text = given instanceof URL ? given.href : (JSON.stringify(given) ?? "");
    if (last?.text !== text) last = { text, ring: new KeyRing(algorithm, given) };
    return last.ring;
  };
  if (typeof keys !== "function") ringOf(keys);
  return async (request, env) => {
    const token = bearerOf(request);
    if (token === undefined) return undefined;
    const claims = await ringOf(typeof keys === "function" ? keys(env) : keys).verify(token, checks);
    const granted = claims && withSubject(await grant(claims, env), claims);
    const endsAt = ((claims?.exp ?? 0) + checks.clockTolerance) * 1_000;
    return granted && { ...granted, expiresAt: Math.min(endsAt, granted.expiresAt ?? endsAt) };
  };
}

function toleranceSeconds(tolerance: Duration): number {
  const ms = toMs(tolerance, "auth.clockTolerance");
  if (ms <= MOST_TOLERANCE_MS) return ms / 1_000;
  throw new QuaysideError("invalid_option", `auth.clockTolerance must be at most 5 minutes, got ${tolerance}.`, {
    option: "auth.clockTolerance",
  });
}

/**
 * Returns the accepted names that an option gives. Refuses an empty list or name, which would accept every token or
 * none.
 */
const namesOf = (given: string | readonly string[], option: string): string[] => {
  const names = [given].flat();
  if (names.length === 0) throw new QuaysideError("invalid_option", `${option} must not be empty.`, { option });
  return names.map((name) => checkName(name, option));
};

const SCOPES: ReadonlySet<string> = new Set<Scope>(["enqueue", "work", "admin"]);

/** Returns the default grant for claims. A claim of a wrong type grants nothing; it does not count as absent. */
function grantOfClaims({ scope, queues }: JwtClaims): Grant | undefined {
  if (typeof scope !== "string") return undefined;
  const scopes = scope.split(" ").filter((one): one is Scope => SCOPES.has(one));
  if (queues === undefined) return { scopes };
  const named = Array.isArray(queues) && queues.every((queue) => typeof queue === "string");
  return named ? { scopes, queues } : undefined;
}

function withSubject(grant: Grant | undefined, { iss, sub }: JwtClaims): Grant | undefined {
  if (!grant || grant.subject !== undefined) return grant;
  // The issuer is part of the subject, because two issuers may use the same `sub` (OpenID Connect Core, 5.7).
  const subject = sub === undefined ? undefined : `jwt:${iss ?? ""} ${sub}`;
  if (subject === undefined) return grant.quota ? undefined : grant;
  const isName = typeof sub === "string" && sub !== "" && subject.length <= 256 && subject.isWellFormed();
  return isName ? { ...grant, subject } : undefined;
}
