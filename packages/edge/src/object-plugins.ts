import { everything, type NextCron, type Plugin } from "@quayside/core";
import { quota } from "./quota.ts";

/** The plugins of a queue's object. */
export const objectPlugins = (cron?: NextCron): readonly Plugin[] => [...everything(cron), quota];
