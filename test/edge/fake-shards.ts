import { QuaysideError } from "@quayside/core";
import type { ExchangeReply, ExchangeRequest, NewJob } from "@quayside/core/engine";
import type { ShardPort, ShardVerbs } from "@quayside/edge";

export interface SentToShard {
  readonly shard: number;
  readonly verb: string;
  readonly ask: unknown;
}

/** Shards as far as a driver over them goes: they hand out what they have and note what they are told. */
export function fakeShards(stock: number[] = []) {
  const sent: SentToShard[] = [];
  const failing = new Set<number>();
  const losing = new Set<number>();
  const heard = new Map<number, number>();
  const claimed = new Map<number, Map<number, ExchangeReply>>();
  const note = (shard: number, verb: string, ask: unknown) => {
    sent.push({ shard, verb, ask });
    if (failing.has(shard)) throw new QuaysideError("network", "The queue's object could not be reached.");
  };
  const open = (shard: number): ShardPort =>
    ({
      async shard(verb: keyof ShardVerbs, ask: { jobs: readonly NewJob[] }) {
        note(shard, verb, ask);
        if (verb === "settings") return {};
        return { receipts: ask.jobs.map(({ id }, at) => ({ id: `${shard}/${id ?? at}`, deduplicated: false })) };
      },
      async exchangePage(request: ExchangeRequest): Promise<ExchangeReply> {
        note(shard, "exchange", request);
        const { exchange, claim } = request;
        const before = claimed.get(shard) ?? new Map<number, ExchangeReply>();
        claimed.set(shard, before);
        const known = before.get(exchange);
        if (known) return known;
        const count = Math.min(claim.limit, stock[shard] ?? 0);
        stock[shard] = (stock[shard] ?? 0) - count;
        const jobs = Array.from({ length: count }, (_, at) => ({
          token: `${exchange}.${at}`,
          job: { id: `${shard}/${exchange}.${at}`, queue: "mail", priority: 0, availableAt: 0 } as never,
        }));
        const reply = { exchange, jobs, lost: [], cancel: [], interrupted: [], unknown: [] };
        if (count > 0) before.set(exchange, reply);
        if (losing.delete(shard)) throw new QuaysideError("network", "The answer was lost.");
        return (stock[shard] as number) > 0 ? { ...reply, nextWakeMs: 0 } : reply;
      },
      follow() {},
      heard: () => heard.get(shard),
      touch() {},
      watch: () => () => {},
      async close() {},
    }) as unknown as ShardPort;
  return {
    sent,
    stock,
    open,
    /** Calls to this shard fail from now on. */
    fail: (shard: number) => failing.add(shard),
    /** The next exchange with this shard is done, and its answer lost. */
    lose: (shard: number) => losing.add(shard),
    mend: (shard: number) => failing.delete(shard),
    /** What its stream has told of, so far. */
    hear: (shard: number, count: number) => heard.set(shard, count),
  };
}
