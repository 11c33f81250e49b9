/** The state of one shard after its last exchange with a worker. */
export interface ShardSeen {
  /** Whether the shard may hold jobs or reports of the worker. */
  readonly holds: boolean;
  /** Whether the shard may have a lease record of the worker, which is to be deleted when the worker leaves. */
  readonly leased: boolean;
  /**
   * Whether the shard may have further jobs to claim. `later`: none now, but delayed ones. `empty`: none until a
   * change.
   */
  readonly had: "more" | "later" | "empty";
  /** The value of `ChangeFeed.heard` for the shard at that exchange. */
  readonly heard?: number | undefined;
}

/** The state of a worker's exchanges with a split queue, kept from one exchange to the next. */
export interface Memo {
  readonly exchange: number;
  readonly seen: readonly ShardSeen[];
  /** The shard with an isolated job that runs or waits to run. */
  readonly alone?: number | undefined;
}

const HAD = ["more", "later", "empty"] as const;

/**
 * Encodes a memo as the text `exchange:shards[:alone]`, with one hex digit per shard. A remote worker keeps the text.
 */
export const spellMemo = ({ exchange, seen, alone }: Memo): string =>
  `${exchange}:${seen.map(spellSeen).join("")}${alone === undefined ? "" : `:${alone}`}`;

const spellSeen = ({ holds, leased, had }: ShardSeen): string =>
  (HAD.indexOf(had) * 4 + Number(leased) * 2 + Number(holds)).toString(16);

/**
 * Decodes the text of a memo for this number of shards. Undefined for any other text; the exchange then asks all
 * shards.
 */
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
