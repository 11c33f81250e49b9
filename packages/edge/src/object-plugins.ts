import { everything, type NextCron, type Plugin } from "@quayside/core";
import { quota } from "@quayside/core/engine";

/** The plugins of a queue's object. */
export const objectPlugins = (cron?: NextCron): readonly Plugin[] => [...everything(cron), quota];
