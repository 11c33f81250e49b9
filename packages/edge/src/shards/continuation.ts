/** The last answer of a shard that was asked for jobs. */
export interface ShardSeen {
  /** It may hold something for the worker. */
  readonly holds: boolean;
  /** It may keep a lease record of the worker, of which to take leave. */
  readonly leased: boolean;
  /** It gave less than it was asked for: `later`, with something to come; `empty`, with nothing until a change. */
  readonly had: "more" | "later" | "empty";
  /** See `ChangeFeed.heard`. */
  readonly heard?: number | undefined;
}

/** The state that a worker's exchange with a split queue takes over from the one before. */
export interface Memo {
  readonly exchange: number;
  readonly seen: readonly ShardSeen[];
  /** The shard of which a job runs alone, or waits to. */
  readonly alone?: number | undefined;
}

const HAD = ["more", "later", "empty"] as const;

/** A memo as it travels with a remote worker: `exchange:marks[:alone]`, a mark a shard. */
export const spellMemo = ({ exchange, seen, alone }: Memo): string =>
  `${exchange}:${seen.map(spellSeen).join("")}${alone === undefined ? "" : `:${alone}`}`;

const spellSeen = ({ holds, leased, had }: ShardSeen): string =>
  (HAD.indexOf(had) * 4 + Number(leased) * 2 + Number(holds)).toString(16);

/** The memo that was spelled for so many shards; undefined for any other text: then all of them are asked. */
export function readMemo(text: string, shards: number): Memo | undefined {
  const [, exchange, marks = "", alone] = /^(\d{1,15}):([0-9ab]*)(?::(\d{1,4}))?$/.exec(text) ?? [];
  if (exchange === undefined || marks.length !== shards) return undefined;
  return {
    exchange: Number(exchange),
    seen: Array.from(marks, (mark) => {
      const bits = Number.parseInt(mark, 16);
      return { holds: (bits & 1) > 0, leased: (bits & 2) > 0, had: HAD[bits >> 2] as ShardSeen["had"] };
    }),
    ...(alone !== undefined && Number(alone) < shards && { alone: Number(alone) }),
  };
}
