/** Returns the option `group` of a new job. */
export const inGroup = (key: string, limit?: number) => ({ group: { key, ...(limit !== undefined && { limit }) } });

/** Returns a list with the same new job `count` times. */
export const many = <J>(count: number, job: J): J[] => Array.from({ length: count }, () => job);
