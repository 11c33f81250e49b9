import { everything, type NextCron, type Plugin, quota } from "@quayside/core";

/** The plugins of a queue's object. */
export const objectPlugins = (cron?: NextCron): readonly Plugin[] => [...everything(cron), quota];
