import { QuaysideError } from "@quayside/core";
import { PROTOCOL, PROTOCOL_HEADER } from "@quayside/core/engine";
import type { Context, MiddlewareHandler } from "hono";
import { csrf } from "hono/csrf";
import { secureHeaders } from "hono/secure-headers";
import type { CorsOptions } from "./app.ts";

/** Options of Hono's security headers, for responses that are data. The API serves no HTML pages. */
const HEADERS: NonNullable<Parameters<typeof secureHeaders>[0]> = {
  contentSecurityPolicy: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
  crossOriginResourcePolicy: "same-origin",
  referrerPolicy: "no-referrer",
  xContentTypeOptions: true,
  xFrameOptions: "DENY",
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
  xDnsPrefetchControl: false,
  xDownloadOptions: false,
  xPermittedCrossDomainPolicies: false,
  xXssProtection: false,
  // Keeps headers that a handler sets.
  overwrite: false,
};

/**
 * Sets headers on every response, including errors and preflights: the protocol version, and headers that forbid
 * sniffing, framing, embedding and caching. Over HTTPS, also sets `Strict-Transport-Security`, without subdomains,
 * which may belong to other services.
 */
export function securityHeaders(): MiddlewareHandler {
  const plain = secureHeaders({ ...HEADERS, strictTransportSecurity: false });
  const overTls = secureHeaders({ ...HEADERS, strictTransportSecurity: "max-age=15552000" });
  return async (c, next) => {
    await (c.req.url.startsWith("https:") ? overTls : plain)(c, next);
    c.res.headers.set(PROTOCOL_HEADER, `${PROTOCOL}`);
    if (!c.res.headers.has("cache-control")) c.res.headers.set("cache-control", "no-store");
  };
}

/**
 * Refuses cross-site requests that a browser sends without a preflight and with the visitor's cookies or Basic
 * credentials, such as a POST without a body. Other requests pass: a JSON body or a bearer token requires a preflight,
 * and a request without `Sec-Fetch-Site` and `Origin` does not come from a browser.
 *
 * @param cors origins that may send credentials are exempt.
 */
export function refuseOtherSites(cors: CorsOptions | undefined): MiddlewareHandler {
  const guard = csrf({
    secFetchSite: ["same-origin", "none"],
    origin: async (origin, c) => origin === new URL(c.req.url).origin || (await isTrusted(cors, origin, c)),
  });
  return async (c, next) => {
    const fromBrowser = c.req.header("sec-fetch-site") !== undefined || c.req.header("origin") !== undefined;
    if (fromBrowser && !/^Bearer /i.test(c.req.header("authorization") ?? "")) {
      try {
        await guard(c, async () => {});
      } catch (cause) {
        throw new QuaysideError("forbidden", "A page of another site may not do this.", {}, cause);
      }
    }
    await next();
  };
}

async function isTrusted(cors: CorsOptions | undefined, origin: string, c: Context): Promise<boolean> {
  if (!cors?.credentials) return false;
  const allowed = typeof cors.origin === "function" ? await cors.origin(origin, c) : cors.origin;
  return typeof allowed === "string" ? allowed === origin : (allowed?.includes(origin) ?? false);
}
