import { QuaysideError } from "@quayside/core";
import type { Grant } from "./auth.ts";

/** The part that is used of Cloudflare's rate-limiting binding (`ratelimits` in the wrangler configuration). */
export interface RateLimiter {
  limit(options: { readonly key: string }): Promise<{ readonly success: boolean }>;
}

/** The shorter of the two periods of the binding, in ms; the binding does not return when its period ends. */
const RETRY_MS = 10_000;

/** @throws {QuaysideError} `internal` when there is no such binding: a limit that was asked for is not left out. */
export function limiterOf<Env>(of: (env: Env) => RateLimiter | undefined, env: Env): RateLimiter {
  const limiter = of(env);
  if (limiter) return limiter;
  throw new QuaysideError("internal", "rateLimit gave no binding: is it in the wrangler configuration?");
}

/**
 * Counts a request against its caller's rate: the subject, or the address of a caller without one.
 *
 * @throws {QuaysideError} `rate_limited`, with `details.retryAfterMs`.
 */
export function limitCaller(limiter: RateLimiter, { subject }: Grant, request: Request): Promise<void> {
  return count(limiter, subject === undefined ? addressKey(request) : `subject ${subject}`);
}

/** Counts a request without valid credentials against the address it came from. */
export const limitStranger = (limiter: RateLimiter, request: Request): Promise<void> =>
  count(limiter, addressKey(request));

async function count(limiter: RateLimiter, key: string): Promise<void> {
  let success: boolean;
  try {
    ({ success } = await limiter.limit({ key }));
  } catch (error) {
    // It protects the queues; the queues shall not stand still for it.
    console.error("The rate limiter failed:", error);
    return;
  }
  if (success) return;
  throw new QuaysideError("rate_limited", "Too many requests: try again later.", { retryAfterMs: RETRY_MS });
}

const addressKey = (request: Request): string => `address ${networkOf(request.headers.get("cf-connecting-ip") ?? "")}`;

/** Returns an address, of IPv6 the first 64 bits: a caller with one address of such a network can use all of them. */
function networkOf(address: string): string {
  if (!address.includes(":") || address.includes(".")) return address;
  const [head = "", tail = ""] = address.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === "" ? [] : tail.split(":");
  const zeros = new Array<string>(Math.max(0, 8 - before.length - after.length)).fill("0");
  const groups = address.includes("::") ? [...before, ...zeros, ...after] : before;
  return groups.slice(0, 4).join(":");
}
