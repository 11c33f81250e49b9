import { everything, type NextCron, type Plugin } from "@quayside/core";
import { withListedNames } from "./bounded-unknown-names.ts";
import { quota } from "./caller-quota.ts";

/** Returns the plugins of the driver in a queue's object. */
export const objectPlugins = (cron?: NextCron): readonly Plugin[] => [
  ...everything(cron).map((plugin) => (plugin.name === "unknownNames" ? withListedNames(plugin) : plugin)),
  quota,
];
