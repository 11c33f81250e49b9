import { checkPlugins, type Plugin } from "../engine/plugin.ts";
import { invalidOption } from "../job/errors.ts";
import type { OptionParser, OptionParsers } from "../job/job-options.ts";

/** The entry from which apps import plugins. */
const ENTRY = "@quayside/core/mini";

/** The plugins of Quayside, in the order of their hooks, with the options, settings, commands and reads of each. */
const PLUGINS: Readonly<Record<string, string>> = {
  idempotency: "request",
  flows: "flow",
  dedupe: "dedupe",
  recurrences: "schedule unschedule schedules",
  expiry: "expiresIn expiresInMs",
  unknownNames: "",
  rateLimit: "rateLimit",
  maxActive: "maxActive",
  groups: "group",
  inspect: "list",
  admin: "retry promote update retryAll clear",
};

const NAMES = Object.keys(PLUGINS);

/**
 * Returns the advice on which import is missing.
 *
 * @param name of a plugin, or of an option, setting, command or read of one.
 * @returns undefined if no plugin of Quayside has this name.
 */
export function adviseImport(name: string): string | undefined {
  const plugin = NAMES.find((one) => one === name || PLUGINS[one]?.split(" ").includes(name));
  return plugin && `Add \`${plugin}\` from "${ENTRY}" to the driver's plugins.`;
}

/**
 * Sorts plugins by the order of their hooks; plugins from outside come last. Adds a first plugin, which refuses the job
 * options of missing plugins.
 */
export const inHookOrder = (plugins: readonly Plugin[]): readonly Plugin[] => [
  { name: "", options: REFUSED_OPTIONS },
  ...[...checkPlugins(plugins)].sort((a, b) => rank(a) - rank(b)),
];

const rank = ({ name }: Plugin): number => (NAMES.indexOf(name) + NAMES.length + 1) % (NAMES.length + 1);

const refuse =
  (option: string): OptionParser =>
  () => {
    throw invalidOption(option, `No plugin of this queue has the job option ${option}. ${adviseImport(option)}`);
  };

/** Parsers that refuse the job options of missing plugins. */
const REFUSED_OPTIONS: OptionParsers = {
  dedupe: refuse("dedupe"),
  group: refuse("group"),
  expiresIn: refuse("expiresIn"),
};
