import { indexedDbDriver } from "@quayside/browser";
import { Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { edgeJobs, tabJobs } from "../../jobs.ts";
import { fetchThroughSwitch } from "../state/network.ts";

/** Of wrangler.jsonc. A real page would ask its own server for one. */
export const DEV_TOKEN = "dev-token";

/** In this tab: jobs in IndexedDB, worked by every tab that is open. */
export const images = new Queue("images", indexedDbDriver({ name: "quayside-demo" }), { jobs: tabJobs });

const edge = httpDriver({ url: "/api/queues", token: DEV_TOKEN, fetch: fetchThroughSwitch });

/** At the edge: the same class over another driver. */
export const gallery = new Queue("gallery", edge, { jobs: edgeJobs });
export const mail = new Queue("mail", edge, { jobs: edgeJobs });

export type DemoQueue = typeof images | typeof gallery;
