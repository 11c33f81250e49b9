import { checkPlugins, type Plugin } from "../engine/plugin.ts";
import { invalidOption } from "../job/errors.ts";
import type { OptionParser, OptionParsers } from "../job/job-options.ts";

/** Where apps that name their plugins import them from. */
const ENTRY = "@quayside/core/mini";

/** The plugins of Quayside, in the order in which their hooks run, with what is refused without each. */
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
 * Says which import is missing.
 *
 * @param name of a plugin, or of an option, setting, command or read that is refused without one.
 * @returns undefined where no plugin of Quayside has it.
 */
export function adviseImport(name: string): string | undefined {
  const plugin = NAMES.find((one) => one === name || PLUGINS[one]?.split(" ").includes(name));
  return plugin && `Add \`${plugin}\` from "${ENTRY}" to the driver's plugins.`;
}

/**
 * The plugins of a driver in the order in which their hooks have to run; others than those of Quayside come last, as they
 * are given. Before all comes one that refuses each job option of those that are not given.
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

/** The job options of plugins, each of which refuses its value. */
const REFUSED_OPTIONS: OptionParsers = {
  dedupe: refuse("dedupe"),
  group: refuse("group"),
  expiresIn: refuse("expiresIn"),
};
