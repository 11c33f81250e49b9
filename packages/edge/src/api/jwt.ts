import { type Duration, QuaysideError, toMs } from "@quayside/core";
import { checkName } from "@quayside/core/engine";
import type { JWTPayload } from "jose";
import { type Authenticate, bearerOf, type Grant, type Scope } from "./auth.ts";
import { type JwtAlgorithm, type JwtKeys, KeyRing } from "./jwt-keys.ts";

/** The claims of a token. The default `grant` reads `scope` and `queues`. */
export type JwtClaims = JWTPayload;

/** Options of `jwtTokens`. */
export interface JwtOptions<Env = unknown> {
  /** The one algorithm: what a token's header says must be this. `HS…` takes a secret, the others public keys. */
  readonly algorithm: JwtAlgorithm;
  /**
   * The keys that verify tokens, or a function that returns them from the Worker's secrets: one key, several (during a
   * rotation), a key set, or the URL of a key set. A URL is fetched when it is needed, kept for ten minutes, and
   * fetched again for an unknown `kid`, at most every 30 seconds. A token with a `kid` is verified with the keys of
   * that `kid` and those without one.
   */
  readonly keys: JwtKeys | ((env: Env) => JwtKeys);
  /** `iss` must be (one of) these. Absent: not looked at. */
  readonly issuer?: string | readonly string[];
  /** `aud` must be, or hold one of, these. Absent: not looked at, and a token for another service is good here too. */
  readonly audience?: string | readonly string[];
  /** How far the issuer's clock may be off: `exp` and `nbf` are taken so much less strictly. Default 0, at most 5 min. */
  readonly clockTolerance?: Duration;
  /**
   * Returns the grant of a valid token; undefined: 401, as without a token. Default: the scopes in the claim `scope`,
   * separated by spaces (unknown ones are ignored), on the names in the claim `queues`, or on all queues without that
   * claim.
   */
  readonly grant?: (claims: JwtClaims, env: Env) => Grant | undefined | Promise<Grant | undefined>;
}

const MOST_TOLERANCE_MS = 300_000;

/**
 * Grants by a signed token (JWT) in `Authorization: Bearer …`. It must be signed with `algorithm` by one of `keys`, say
 * when it ends (`exp`), have begun (`nbf`), and come from `issuer` for `audience` where these are given. The subject of
 * the grant is made of `iss` and `sub` unless `grant` says one; without either, a grant with a quota counts as none.
 *
 * @throws {QuaysideError} `invalid_option` at a key that is missing, does not suit the algorithm, or is too weak for it
 * (RFC 7518, 3.2 and 3.3), at once where `keys` stand in the code; `network` while a key set cannot be fetched.
 * @example
 * const auth = jwtTokens({
 *   algorithm: "RS256",
 *   keys: new URL("https://login.example/.well-known/jwks.json"),
 *   issuer: "https://login.example",
 *   audience: "https://api.example",
 *   grant: ({ sub, plan }) => ({
 *     scopes: ["enqueue"],
 *     queues: [`user-${sub}`],
 *     quota: { jobs: plan === "pro" ? 10_000 : 100, per: "1h" },
 *   }),
 * });
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
  // Made again only when the secrets change: imported and fetched keys are kept.
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

/** An empty name or list would be one that every token has, or none. */
const namesOf = (given: string | readonly string[], option: string): string[] => {
  const names = [given].flat();
  if (names.length === 0) throw new QuaysideError("invalid_option", `${option} must not be empty.`, { option });
  return names.map((name) => checkName(name, option));
};

const SCOPES: ReadonlySet<string> = new Set<Scope>(["enqueue", "work", "admin"]);

/** A claim of a wrong type grants nothing: it must not be taken for one that is absent. */
function grantOfClaims({ scope, queues }: JwtClaims): Grant | undefined {
  if (typeof scope !== "string") return undefined;
  const scopes = scope.split(" ").filter((one): one is Scope => SCOPES.has(one));
  if (queues === undefined) return { scopes };
  const named = Array.isArray(queues) && queues.every((queue) => typeof queue === "string");
  return named ? { scopes, queues } : undefined;
}

function withSubject(grant: Grant | undefined, { iss, sub }: JwtClaims): Grant | undefined {
  if (!grant || grant.subject !== undefined) return grant;
  // Who issued it is part of the name: two issuers may well have an `ada` each (OpenID Connect Core, 5.7).
  const subject = sub === undefined ? undefined : `jwt:${iss ?? ""} ${sub}`;
  if (subject === undefined) return grant.quota ? undefined : grant;
  const isName = typeof sub === "string" && sub !== "" && subject.length <= 256 && subject.isWellFormed();
  return isName ? { ...grant, subject } : undefined;
}
