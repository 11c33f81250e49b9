/** A new job with a dedupe key of the mode `replace`. */
export const replace = (key: string, payload = "0") => ({ payload, dedupe: { key, mode: "replace" } }) as const;
