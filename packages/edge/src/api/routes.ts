import { jobRoutes } from "./job-routes.ts";
import { queueRoutes } from "./queue-routes.ts";
import { type Route, type RouteInfo, route } from "./route.ts";

/** The routes of the API itself, which touch no queue. */
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
 * The API as a table: who may call what, what it takes, what it answers, and which verb of the driver it is. The app is
 * made from it (`serve.ts`), and so is `openapi.json` (`openapi.ts`).
 */
export const routes: readonly Route[] = [...ownRoutes, ...jobRoutes, ...queueRoutes];

/** The table of routes, for tests and tools: method, path, who may call. */
export const API_ROUTES: readonly RouteInfo[] = routes;
