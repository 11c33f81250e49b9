import type { TestRunner } from "@quayside/testing";

/** Cases that hold within a shard and not over all of them, by the reason. They are run with all jobs of one key, too. */
export const WITHIN_ONE_SHARD: Readonly<Record<string, readonly string[]>> = {
  "jobs stand in line in each shard: of two that were added by two calls, the other shard's may be claimed first": [
    "R1: a long run of expired jobs does not keep the good one behind it",
    "R4: jobs added at the same instant keep their order, in one call and over many",
    "R4: groups whose keys differ in any character are different groups",
    "R9: one exchange settles any mix of outcomes and claims more",
    "R10: from its second interruption on a job is claimed alone",
    "R10: a job says itself how many interruptions it survives",
    "R10: a worker that runs something else does not take a job that must be alone",
    "R10: a job that must be alone does not join the ones before it, and keeps its turn",
    "R11: clear by filter of a long queue takes all that fit, and leaves the others in their order",
    "R12: a handler that ignores its timeout is settled after the grace, and keeps its slot until it returns",
    "R15: the higher priority goes first, whenever it was added",
    "R15: a high priority that is not due yet keeps nobody waiting",
    "R15: a retry keeps the priority",
    "R15: a retry goes to its new instant, behind what was due before",
    "R15: update of the priority moves a job of a generated id to its new place, by its adding",
    "R16: a full group does not hold up the rest of the queue",
    "R16: a job in line that is gone without a word is found by a claim, in a queue that is never idle, behind groups whose jobs run",
    "R17: unknown names step aside, and the worker says so once",
    "two queues are both worked, the one whose jobs are never held ahead too",
    "R18: a job of a group is not taken ahead, nor what stands behind it; it is the next to start",
    "R25: children of a higher priority than their parent go first anyway, and of a lower one too",
    "R23: jobs added after the clock was set back keep their order",
  ],
  "each shard has batches of its own": [
    "a batch handler gets as many jobs as its size in one call, in their order, and all complete",
    "fewer jobs wait in the store, until one of them has waited",
    "jobs that are added later complete a batch before it has waited",
    "each job of a batch may have an outcome of its own",
    "a batch handler that throws fails each job that it has not decided, by the options of that job",
    "the cancel of one job aborts the signal of that job alone; when all should stop, that of the call",
    "a batch that is aborted by stop() gives its jobs back, not counted",
    "single jobs run beside a batch, which takes one slot",
    "of more jobs than a batch holds, those of the highest priority come first",
    "the limit of a group divides a batch: what may start starts",
    "a paused queue claims no batch",
    "drain() handles jobs that have not waited, and what their batch adds",
    "a batch of encrypted jobs is one call",
  ],
  "jobs of one millisecond have an order in each shard; the list of all is by the millisecond": [
    "R5: list by tags gives those that bear all of them, in pages of any size",
    "R15: pages of the waiting jobs give each once, in order",
    "R15: pages of the delayed jobs give each once, in order",
    "R15: pages of the active jobs give each once, in order",
    "R15: pages of the completed jobs give each once, in order",
    "R15: pages of the failed jobs give each once, in order",
    "R15: pages of the cancelled jobs give each once, in order",
  ],
  "each shard keeps as many ended jobs as the queue says: at least the newest of all, and some more": [
    "R42: large batches that end at once leave no more than the queue keeps",
    "R42: a kept job that is removed does not make an older one stay longer",
    "R1: being pruned leaves nothing of a plain job of which nothing is to be kept",
    "R1: being pruned leaves no entry of a job with its own id and a dedupe key",
    "R1: of the completed jobs exactly the newest are kept, as many as the queue says",
    "R1: of the failed jobs exactly the newest are kept, as many as the queue says",
    "R1: of the cancelled jobs exactly the newest are kept, as many as the queue says",
    "R1: a limit counts its own state and its own queue alone",
    "R1: a batch that ends at once is pruned to the limit, its first jobs first",
    "R1: a limit that is lowered holds from the next end on",
    "R1: configure changes what it names, and the last writer wins",
    "R23: jobs that ended before the clock was set back are forgotten before those that end after",
  ],
  "a job of a dedupe key and a group may belong in two shards, and is refused unless something else says where it goes":
    [
      "R16: a successor waits for its group as well",
      "R16: a waiting job that is given another group makes room in the one it leaves",
      "R16: a job that is promoted, retried by hand or given to a full group waits for its room, too",
      "R20: what the new one does not say, the old one said in vain",
    ],
  "an id is looked for where its job is routed to, and that is by the keys of its flow": [
    "R25: a child that exists already by its id, and waits, is waited for",
    "R25: a child that exists already by its id, and runs, is waited for",
    "R25: a child that has ended already, and is kept under its id, gives its outcome at once",
    "R25: a child that has failed already ends its parent, or is seen by it, as its policy says",
    "R25: a running child whose id was generated is waited for too",
  ],
  "the parts of a request are remembered by the shards that got them: more of them, and the last one of each": [
    "R7: an older request is recognised too, if its jobs came with ids, whatever became of them",
    "R7: as many older requests are recognised as is bounded",
  ],
};

/** Cases about what a queue over several shards refuses: limits of which each shard could only count its own part. */
export const REFUSED: Readonly<Record<string, readonly string[]>> = {
  "a rate limit": [
    "R18: a queue with a rate limit gives max jobs at once, and the next when the first of them is a period old",
    "R18: of 10 per 1000 ms no interval sees more start, and at a steady load nine tenths do",
    "R18: of 7 per 1000 ms no interval sees more start, and at a steady load nine tenths do",
    "R18: of 3 per 10 ms no interval sees more start, and at a steady load nine tenths do",
    "R18: of 1 per 999 ms no interval sees more start, and at a steady load nine tenths do",
    "R18: of 100 per 60000 ms no interval sees more start, and at a steady load nine tenths do",
    "R18: no more than max start at once, however long nobody came",
    "R18: workers on several drivers share one rate limit",
    "R18: what started counts, whatever becomes of the jobs",
    "R18: jobs that step aside or have expired do not count as started, nor does a repeat",
    "R18: a limit belongs to its queue",
    "R18: what the limit lets through comes by priority",
    "R18: after the clock was set back the wait is one period, from then",
    "R18: a clock that leaps forward lets max start once",
    "R19: an exchange and nextWake tell when the next job may start, not sooner",
    "R19: a limit that allows another start before any job is due wakes nobody",
    "R18: a worker that follows its wake-ups gets the whole rate and does not spin",
    "R18: a limit may be changed, and lifted with null",
    "R18: a limit that is lowered after a burst counts what started before",
    "R18: after a burst nothing starts in its period, though the queue is paused, resumed and configured alike again",
    "R18: what is not said when a queue is configured stays as it was",
    "R18: a worker's own limit and the rate limit both hold",
    "R18: over several queues each limit counts for itself, whatever steps aside or has been taken before",
    "R18: with a rate limit too, both hold",
    "R18: a slow rate limit does not delay stop()",
    "R18: a rate limit divides a batch",
    "R18: a queue with a rate limit gives nothing ahead, nor does one behind it while one of its jobs could start",
    "R18: a queue with a rate limit of which nothing can start holds up nothing that is taken ahead",
  ],
  maxActive: [
    "R18: at most so many jobs of a queue run at once, over all workers and drivers",
    "R18: a slot is free in the very exchange that settles",
    "R18: a slot is free again when its worker is gone",
    "R18: the limit may be raised, lowered below what runs, and lifted with null",
    "R18: the limit belongs to its queue, and a full queue does not hold up another",
    "R19: a full queue wakes nobody but who looks after lost leases",
    "R19: a slot that becomes free is told to those who watch",
    "R18: a queue with a limit on its active jobs gives nothing ahead",
    "R18: maxActive divides a batch: what may start starts",
  ],
  maxWaiting: [
    "R18: an add over maxWaiting is refused with queue_full and a time to wait, and nothing of it is stored",
    "R18: delayed jobs count, and running and ended ones do not",
    "R18: a job with a taken id is not refused by a full queue",
    "R18: a retry comes back to a full queue",
    "R18: an add of more jobs than maxWaiting is refused as too large",
    "R18: maxWaiting is of each queue alone, and null lifts it",
    "R18: jobs whose dedupe key is taken are not refused by a full queue",
    "R18: occurrences of a recurrence are placed in a full queue",
    "R18: jobs that wait for their group count",
    "R18: a numbered request that a full queue refused is stored when it is sent again",
  ],
  "a recurrence whose jobs are in a group that may lie in another shard": [
    "R16: occurrences keep their group and its limit",
  ],
};

const names = (cases: Readonly<Record<string, readonly string[]>>) => new Set(Object.values(cases).flat());

export interface ShardedRunners {
  /** Runs what holds over all shards. */
  readonly overAll: TestRunner;
  /** Runs the rest: what holds among the jobs of one key. */
  readonly ofOneKey: TestRunner;
  /** The names above that no case bears. */
  missing(): readonly string[];
}

/** The runner, once for jobs that lie in any shard and once for jobs of one key. `also`: names that run in neither. */
export function shardedRunners(runner: TestRunner, also: readonly string[] = []): ShardedRunners {
  const within = names(WITHIN_ONE_SHARD);
  const refused = names(REFUSED);
  const left = new Set([...within, ...refused]);
  const never = new Set(also);
  return {
    overAll: only(runner, (name) => {
      left.delete(name);
      return !within.has(name) && !refused.has(name) && !never.has(name);
    }),
    ofOneKey: only(runner, (name) => within.has(name) && !never.has(name)),
    missing: () => [...left],
  };
}

/** The runner for the cases that `takes` takes. A suite without any is left out: to vitest it would be a failure. */
function only(runner: TestRunner, takes: (name: string) => boolean): TestRunner {
  let counted = 0;
  let counting = false;
  return {
    expect: runner.expect,
    describe(name, define) {
      counting = true;
      counted = 0;
      define();
      counting = false;
      if (counted > 0) runner.describe(name, define);
    },
    it(name, run) {
      if (!takes(name)) return;
      if (counting) counted++;
      else runner.it(name, run);
    },
  };
}
