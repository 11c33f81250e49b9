import { QuaysideError } from "@quayside/core";
import type { Grant } from "./auth.ts";

/** The part of Cloudflare's rate-limiting binding (`ratelimits` in the Wrangler configuration) that Quayside uses. */
export interface RateLimiter {
  limit(options: { readonly key: string }): Promise<{ readonly success: boolean }>;
}

/**
 * Value of `Retry-After` for a limited request, in ms: the shorter of the binding's two periods. The binding does not
 * return when its period ends.
 */
const RETRY_MS = 10_000;

/**
 * Returns the rate-limiting binding from the Worker's environment.
 *
 * @throws {QuaysideError} `internal` if the binding is missing, so that a configured limit is never skipped.
 */
export function limiterOf<Env>(of: (env: Env) => RateLimiter | undefined, env: Env): RateLimiter {
  const limiter = of(env);
  if (limiter) return limiter;
  throw new QuaysideError("internal", "rateLimit gave no binding: is it in the wrangler configuration?");
}

/**
 * Counts a request against the rate limit of the caller's subject, or of the IP address without a subject.
 *
 * @throws {QuaysideError} `rate_limited`, with `details.retryAfterMs`.
 */
export function limitCaller(limiter: RateLimiter, { subject }: Grant, request: Request): Promise<void> {
  return count(limiter, subject === undefined ? addressKey(request) : `subject ${subject}`);
}

/** Counts a request without valid credentials against the rate limit of its IP address. */
export const limitStranger = (limiter: RateLimiter, request: Request): Promise<void> =>
  count(limiter, addressKey(request));

async function count(limiter: RateLimiter, key: string): Promise<void> {
  let success: boolean;
  try {
    ({ success } = await limiter.limit({ key }));
  } catch (error) {
    // A failed rate limiter does not block requests.
    console.error("The rate limiter failed:", error);
    return;
  }
  if (success) return;
  throw new QuaysideError("rate_limited", "Too many requests: try again later.", { retryAfterMs: RETRY_MS });
}

const addressKey = (request: Request): string => `address ${networkOf(request.headers.get("cf-connecting-ip") ?? "")}`;

/**
 * Returns an IPv4 address unchanged. Of an IPv6 address, returns the first 64 bits: a caller with one address of such a
 * network can use all of its addresses.
 */
function networkOf(address: string): string {
  if (!address.includes(":") || address.includes(".")) return address;
  const [head = "", tail = ""] = address.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === "" ? [] : tail.split(":");
  const zeros = new Array<string>(Math.max(0, 8 - before.length - after.length)).fill("0");
  const groups = address.includes("::") ? [...before, ...zeros, ...after] : before;
  return groups.slice(0, 4).join(":");
}
