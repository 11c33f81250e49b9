import { type Clock, QuaysideError } from "@quayside/core";
import { isTrouble, within } from "@quayside/core/engine";
import type { ShardPort } from "./shard-port.ts";

/** Longest wait of a read for one shard, as a multiple of `patienceMs`. Adds and commands may wait longer. */
const READS = 10;
const WRITES = 30;

export interface BoundedShardOptions {
  readonly clock: Clock;
  readonly patienceMs: number;
  readonly shard: number;
}

/**
 * Limits the time that a call waits for one shard, so that a call over several shards ends although one of them hangs.
 * The error names the shard. Does not limit exchanges: see `WorkerPlaces`.
 */
export function boundedShard(port: ShardPort, { clock, patienceMs, shard }: BoundedShardOptions): ShardPort {
  const bounded = async <T>(times: number, advice: string, work: Promise<T>): Promise<T> => {
    const ms = times * patienceMs;
    try {
      return await within(clock, ms, `Shard ${shard}`, work);
    } catch (error) {
      if (!(error instanceof QuaysideError && isTrouble(error))) throw error;
      const { code, message, details } = error;
      const named = message.startsWith("Shard ") ? message : `Shard ${shard}: ${message}`;
      throw new QuaysideError(code, `${named} ${advice}`, { ...details, shard: `${shard}` }, error);
    }
  };
  const read = <T>(work: Promise<T>) => bounded(READS, "The others work on. Ask again later.", work);
  const write = <T>(work: Promise<T>) => bounded(WRITES, "It may have done it all the same.", work);
  return {
    get: (...given) => read(port.get(...given)),
    list: (...given) => read(port.list(...given)),
    counts: (...given) => read(port.counts(...given)),
    schedules: (...given) => read(port.schedules(...given)),
    schedulesPage: (...given) => read(port.schedulesPage(...given)),
    jobsPage: (...given) => read(port.jobsPage(...given)),
    childrenPage: (...given) => read(port.childrenPage(...given)),
    nextWake: (...given) => read(port.nextWake(...given)),
    shard: (verb, ask) => (verb === "settings" ? read : write)(port.shard(verb, ask)),
    enqueue: (...given) => write(port.enqueue(...given)),
    command: (...given) => write(port.command(...given)),
    exchange: (...given) => port.exchange(...given),
    exchangePage: (...given) => port.exchangePage(...given),
    follow: (queue) => port.follow(queue),
    heard: (queue) => port.heard(queue),
    touch: (queue) => port.touch(queue),
    watch: (...given) => port.watch(...given),
    connectivity: port.connectivity,
    register: (worker) => port.register(worker),
    onActiveChange: (session) => port.onActiveChange(session),
    close: () => port.close(),
  };
}
