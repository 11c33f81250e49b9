import { type Clock, QuaysideError } from "@quayside/core";
import { checkProtocol } from "@quayside/core/engine";
import type { ObjectDriver } from "../object/object-driver.ts";
import { changeStream } from "../streams/change-stream.ts";
import {
  checkCommand,
  checkIds,
  checkJobs,
  checkQuery,
  checkQueues,
  checkRound,
  checkShard,
  checkTexts,
} from "./call-checks.ts";
import { type QueueRpc, type Reply, reply, VERBS } from "./queue-rpc.ts";

export interface ObjectRpcOptions {
  readonly driver: ObjectDriver;
  readonly clock: Clock;
  /** Runs at the start of every call. Never rejects. `queues`: the queues to which the call writes. */
  readonly enter: (queues?: readonly string[]) => Promise<void>;
}

type AnsweredVerb = Exclude<keyof QueueRpc, "events">;

/** How the object answers one verb. Arguments may have any type, because another Worker sends them. */
interface Answer<Verb extends AnsweredVerb> {
  /** For a verb that writes: checks the arguments, and returns the queues to which the call writes. */
  readonly queues?: ((...given: Parameters<QueueRpc[Verb]>) => readonly string[]) | undefined;
  readonly run: (driver: ObjectDriver, ...given: Parameters<QueueRpc[Verb]>) => Promise<unknown>;
}

const ANSWERS: { readonly [Verb in AnsweredVerb]: Answer<Verb> } = {
  enqueue: {
    queues: (jobs, request) => {
      checkJobs(jobs, request);
      return jobs.map(({ queue }) => queue);
    },
    run: (driver, jobs, request, quota) => driver.enqueue(jobs, request, quota),
  },
  exchange: {
    run: async (driver, request) => {
      const round = checkRound(request);
      if (driver.isOwn(round.worker))
        throw new QuaysideError("forbidden", "A worker of the object itself has this key.", { option: "worker" });
      // Only this object's own worker lives and dies with it; others show their death by silence, whatever they say.
      return driver.exchangePage({ ...round, liveness: "time" });
    },
  },
  get: {
    run: async (driver, queue, id) => {
      checkTexts({ queue, id });
      return driver.get(queue, id);
    },
  },
  find: {
    run: async (driver, queue, ids, bytes) => {
      checkIds(queue, ids, bytes);
      return driver.jobsPage(queue, ids, bytes);
    },
  },
  list: { run: async (driver, query) => driver.list(checkQuery(query)) },
  counts: {
    run: async (driver, queue) => {
      checkTexts({ queue });
      return driver.counts(queue);
    },
  },
  command: {
    queues: (command) => [checkCommand(command).queue],
    run: (driver, command) => driver.command(command),
  },
  schedules: {
    run: async (driver, queue, after) => {
      checkTexts({ queue, ...(after !== undefined && { after }) });
      return driver.schedulesPage(queue, after);
    },
  },
  children: {
    run: async (driver, queue, id, after) => {
      checkTexts({ queue, id, ...(after !== undefined && { after }) });
      return driver.childrenPage(queue, id, after);
    },
  },
  nextWake: { run: async (driver, queues) => driver.nextWake(checkQueues(queues)) },
  shard: {
    queues: (verb, ask) => {
      checkShard(verb, ask);
      return "jobs" in ask ? ask.jobs.map(({ queue }) => queue) : [];
    },
    run: (driver, verb, ask) => driver.shard(verb, ask),
  },
};

/** Creates the RPC methods of an object's queues. Each returns a `Reply`. */
export function objectRpc({ driver, clock, enter }: ObjectRpcOptions): QueueRpc {
  const answer = async (verb: AnsweredVerb, given: readonly unknown[]): Promise<Reply<unknown>> => {
    const { queues, run } = ANSWERS[verb] as {
      readonly queues?: ((...given: readonly unknown[]) => readonly string[]) | undefined;
      readonly run: (driver: ObjectDriver, ...given: readonly unknown[]) => Promise<unknown>;
    };
    let written: readonly string[] | undefined;
    const checked = await reply(async () => {
      checkProtocol("request", given[VERBS[verb]]);
      written = queues?.(...given);
    });
    if (!checked.ok) return checked;
    await enter(written);
    return reply(() => run(driver, ...given));
  };
  const verbs = (Object.keys(ANSWERS) as AnsweredVerb[]).map((verb) => [
    verb,
    (...given: readonly unknown[]) => answer(verb, given),
  ]);
  return {
    ...Object.fromEntries(verbs),
    async events(queue?: string) {
      await enter();
      return changeStream((listener) => driver.watch(listener), clock, queue);
    },
  };
}
