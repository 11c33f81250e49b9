import { KERNEL_OPTIONS, type OptionParsers } from "../job/job-options.ts";
import { DEDUPE_OPTIONS } from "./dedupe.ts";
import { EXPIRY_OPTIONS } from "./expiry.ts";
import { GROUP_OPTIONS } from "./groups.ts";

/** Parsers of the job options of the kernel and all plugins. */
export const EVERY_OPTION: OptionParsers = {
  ...KERNEL_OPTIONS,
  ...DEDUPE_OPTIONS,
  ...GROUP_OPTIONS,
  ...EXPIRY_OPTIONS,
};
