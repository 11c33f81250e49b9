import { DEFAULTS, LIMITS } from "@quayside/core";
import { LONGEST_DURATION_MS } from "@quayside/core/engine";
import type * as z from "zod/mini";
import type { JsonSchema } from "./payload-schemas.ts";
import {
  attempts,
  duration,
  factor,
  groupLimit,
  jitter,
  label,
  pageLimit,
  priority,
  worker,
} from "./request-schemas.ts";

/**
 * For `openapi.json`: the JSON Schemas of the values that core checks. The request schemas (keys of the map) check only
 * their types.
 */
export const DESCRIBED: ReadonlyMap<z.core.$ZodType, JsonSchema> = new Map<z.core.$ZodType, JsonSchema>([
  [
    duration,
    {
      description:
        "Ms, or a text: digits, a fraction if need be, a space if need be, and a unit (ms, s, m, h, d, w). At most 100 years; rounded to whole ms.",
      anyOf: [
        { type: "number", minimum: 0, maximum: LONGEST_DURATION_MS },
        { type: "string", pattern: "^\\d+(\\.\\d+)? ?(ms|s|m|h|d|w)$" },
      ],
    },
  ],
  [label, { description: "Well-formed Unicode.", type: "string", minLength: 1, maxLength: LIMITS.nameLength }],
  [priority, { description: "Higher first.", type: "integer", minimum: -LIMITS.priority, maximum: LIMITS.priority }],
  [attempts, { type: "integer", minimum: 1, maximum: LIMITS.attempts }],
  [groupLimit, { type: "integer", minimum: 1, maximum: LIMITS.groupLimit }],
  [factor, { type: "number", minimum: 1, maximum: LIMITS.backoffFactor }],
  [jitter, { description: "The share of the delay that is random.", type: "number", minimum: 0, maximum: 1 }],
  [pageLimit, { type: "integer", minimum: 1, maximum: LIMITS.page, default: DEFAULTS.pageLimit }],
  [worker, { description: "Random per start of the worker.", type: "string", pattern: "^[!-~]{1,128}$" }],
]);
