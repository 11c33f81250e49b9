/** Returns the fields of a new job with a dedupe key and the mode `replace`. */
export const replace = (key: string, payload = "0") => ({ payload, dedupe: { key, mode: "replace" } }) as const;
