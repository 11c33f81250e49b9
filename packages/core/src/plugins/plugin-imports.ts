import { checkPlugins, type Plugin } from "../engine/plugin.ts";
import { invalidOption } from "../job/errors.ts";
import type { OptionParser, OptionParsers } from "../job/job-options.ts";

/** The module from which the advice says to import plugins. */
const ENTRY = "@quayside/core/mini";

/**
 * The plugins of Quayside by name, in the order of their hooks. Values: the options, settings, commands and reads of
 * each.
 */
const PLUGINS: Readonly<Record<string, string>> = {
  idempotency: "request",
  flows: "flow",
  dedupe: "dedupe",
  recurrences: "schedule unschedule schedules",
  expiry: "expiresIn expiresInMs",
  unknownNames: "",
  rateLimit: "rateLimit",
  maxActive: "maxActive",
  maxWaiting: "maxWaiting",
  groups: "group",
  inspect: "list",
  admin: "retry promote update retryAll clear",
};

const NAMES = Object.keys(PLUGINS);

/**
 * Returns the advice that names the missing import.
 *
 * @param name of a plugin, or of an option, setting, command or read of a plugin.
 * @returns undefined if no plugin of Quayside has this name.
 */
export function adviseImport(name: string): string | undefined {
  const plugin = NAMES.find((one) => one === name || PLUGINS[one]?.split(" ").includes(name));
  return plugin && `Add \`${plugin}\` from "${ENTRY}" to the driver's plugins.`;
}

/**
 * Sorts plugins by the order of their hooks; plugins of other authors come last. Adds a plugin in front that refuses
 * the job options of missing plugins.
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

/** Parsers that throw for a job option whose plugin is missing, with the advice on the import. */
const REFUSED_OPTIONS: OptionParsers = {
  dedupe: refuse("dedupe"),
  group: refuse("group"),
  expiresIn: refuse("expiresIn"),
};
