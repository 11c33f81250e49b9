import { QuaysideError } from "@quayside/core";
import { PROTOCOL, PROTOCOL_HEADER } from "@quayside/core/engine";
import type { Context, MiddlewareHandler } from "hono";
import { csrf } from "hono/csrf";
import { secureHeaders } from "hono/secure-headers";
import type { CorsOptions } from "./app.ts";

/** The headers of Hono that concern data; no answer is a page. */
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
  // Headers that a handler sets are kept.
  overwrite: false,
};

/**
 * Sets headers on every answer, refusals and preflights too: the version of the protocol, and no sniffing, framing,
 * embedding or caching. Over https also `Strict-Transport-Security`, without subdomains, which may belong to other
 * services.
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
 * Refuses what a page of another site makes a visitor's browser do with credentials that it sends by itself (cookies,
 * Basic): a request that changes something and needs no preflight, such as a POST without a body. What a page cannot
 * send unasked is not looked at: a JSON body, a bearer token. Nor is what does not come from a browser: those say
 * where a request comes from (`Sec-Fetch-Site`, or `Origin`), and others need no protection from themselves.
 *
 * @param cors its origins may, where it lets them send credentials.
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
