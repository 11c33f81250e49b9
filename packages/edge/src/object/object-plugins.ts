import { everything, type NextCron, type Plugin } from "@quayside/core";
import { quota } from "./caller-quota.ts";
import { withListedNames } from "./unknown-names-list.ts";

/** The plugins of a queue's object. */
export const objectPlugins = (cron?: NextCron): readonly Plugin[] => [
  ...everything(cron).map((plugin) => (plugin.name === "unknownNames" ? withListedNames(plugin) : plugin)),
  quota,
];
