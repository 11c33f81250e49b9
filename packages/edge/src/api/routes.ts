import { jobRoutes } from "./job-routes.ts";
import { queueRoutes } from "./queue-routes.ts";
import { type Route, type RouteInfo, route } from "./route.ts";

/** Routes that use no queue. */
const ownRoutes: readonly Route[] = [
  route({
    id: "getHealth",
    method: "GET",
    path: "/health",
    open: true,
    summary: "Whether the Worker answers. Touches no queue.",
    status: 200,
    answer: "Health",
    errors: [],
    handle: async () => ({ status: "ok" }),
  }),
  route({
    id: "getOpenApi",
    method: "GET",
    path: "/openapi.json",
    summary: "This document. It names the jobs and their payloads, so it is for callers with credentials.",
    status: 200,
    answer: "openapi",
    errors: [],
    handle: async ({ openapi }) => new Response(openapi(), { headers: { "content-type": "application/json" } }),
  }),
];

/**
 * The HTTP API as a table: scopes, request, response and handler of each route. `serve.ts` makes the app from it, and
 * `openapi.ts` makes `openapi.json`.
 */
export const routes: readonly Route[] = [...ownRoutes, ...jobRoutes, ...queueRoutes];

/** The table of routes without handlers, for tests and tools. */
export const API_ROUTES: readonly RouteInfo[] = routes;
