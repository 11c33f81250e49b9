import {
  blockOf,
  type Collection,
  type DedupeRecord,
  decodeId,
  endStateOf,
  escapePart,
  type Family,
  type GroupCell,
  isUndelayed,
  keyText,
  type LeaseRecord,
  type Member,
  type Program,
  type StoredSettings as QueueSettings,
  queueOf,
  type Records,
  type ScheduleCell,
  SEATS,
  type StoredJob,
  sameKey,
  scan,
  type TallyRecord,
} from "@quayside/core/engine";

/** All records of a store, by collection. */
export type Snapshot = { readonly [C in Collection]: readonly Records[C][] };

/** Reads all records of a store, for tests. */
export function* snapshot(): Program<Snapshot> {
  return {
    jobs: yield* all("jobs"),
    leases: yield* all("leases"),
    ids: yield* all("ids"),
    dedupe: yield* all("dedupe"),
    cells: yield* all("cells"),
    tallies: yield* all("tallies"),
  };
}

/**
 * Checks the records between two programs and returns one sentence per violation. Checks I1 (a lease entry has its
 * job), I2 (one holder per job), I3 (every job is reachable by its id), I4 (a dedupe holder is alive, and a successor
 * waits for it), I5 (a group's limit holds, its seats are listed, and no job waits while a seat is free), I6 (tallies
 * equal a full scan), I7 (a parent waits for as many children as are unfinished) and R24 (one pending occurrence per
 * recurrence), and that every key matches its job.
 *
 * A group whose limit was lowered while more of its jobs ran would be reported: pass `{ lowered: true }` in that case.
 *
 * @example
 * expect(await store.transact(checkInvariants)).toEqual([]);
 */
export function* checkInvariants({
  lowered = false,
}: {
  readonly lowered?: boolean | undefined;
} = {}): Program<readonly string[]> {
  const records = yield* snapshot();
  return [
    ...places(records),
    ...leases(records),
    ...ids(records),
    ...dedupe(records),
    ...successors(records),
    ...groups(records, lowered),
    ...families(records),
    ...recurrences(records),
    ...blockedNames(records),
    ...tallies(records),
  ];
}

/** Maximum number of records per scan, far more than a test stores. */
const EVERYTHING = 1_000_000;

/**
 * Reads all records of a collection. Stores sort text by UTF-16 units (IndexedDB) or by code points (SQLite), so the
 * range up to both maximum texts is read.
 */
function* all<C extends Collection>(collection: C): Program<readonly Records[C][]> {
  const found = new Map<string, Records[C]>();
  for (const last of ["\uffff\uffff", "\u{10ffff}\u{10ffff}"]) {
    for (const record of yield* scan(collection, { from: [""], to: [last] }, EVERYTHING))
      found.set(JSON.stringify(record.key), record);
  }
  return [...found.values()];
}

const isLive = (job: StoredJob): boolean => job.key[0] !== "finished";
const show = (job: StoredJob): string => `job ${JSON.stringify(job.id)} of ${JSON.stringify(job.queue)}`;
/** Joins two texts to one. Different pairs give different texts. */
const pair = (queue: string, name: string): string => JSON.stringify([queue, name]);

/** Checks that a key matches the queue, priority and time of its job. */
function* places({ jobs }: Snapshot): Iterable<string> {
  for (const job of jobs) {
    const [place, , rank, at] = job.key;
    if (queueOf(job.key) !== job.queue)
      yield `place: ${show(job)} lies under the key of ${JSON.stringify(queueOf(job.key))}`;
    if (Object.is(rank, -0)) yield `place: ${show(job)} has the rank −0`;
    if (place === "finished") {
      if (at !== job.finishedAt) yield `place: ${show(job)} finished at ${job.finishedAt} and lies at ${at}`;
    } else {
      if (rank !== 0 - job.priority) yield `place: ${show(job)} has the priority ${job.priority} and the rank ${rank}`;
      if (at !== job.availableAt) yield `place: ${show(job)} is available at ${job.availableAt} and lies at ${at}`;
    }
  }
}

function* leases(records: Snapshot): Iterable<string> {
  const jobs = new Map(records.jobs.map((job) => [keyText(job.key), job]));
  const holders = new Map<string, string>();
  for (const lease of records.leases) {
    const worker = lease.key[0];
    yield* heldBy(lease, jobs);
    for (const held of lease.held) {
      const other = holders.get(keyText(held.key));
      if (other !== undefined) yield `I2: job ${held.id} is held by ${other} and by ${worker}`;
      holders.set(keyText(held.key), worker);
    }
  }
}

function* heldBy(lease: LeaseRecord, jobs: ReadonlyMap<string, StoredJob>): Iterable<string> {
  const worker = lease.key[0];
  for (const held of lease.held) {
    const job = jobs.get(keyText(held.key));
    if (!job) yield `I1: ${worker} holds job ${held.id}, which is not at the key of its lease entry`;
    else if (job.id !== held.id) yield `I1: ${worker} holds job ${held.id}, and at the key is job ${job.id}`;
    else if (job.key[0] !== "ready") yield `I1: ${worker} holds job ${held.id}, which is ${job.key[0]}`;
  }
  const tokens = new Set(lease.held.map((held) => held.token));
  if (tokens.size < lease.held.length) yield `I2: two lease entries of ${worker} have the same token`;
}

/** Checks that all jobs, including kept ended ones, are found by their ids, and that each entry of `ids` has a job. */
function* ids({ jobs, ids }: Snapshot): Iterable<string> {
  const entries = new Map(ids.map((entry) => [pair(...entry.key), entry]));
  const seen = new Set<string>();
  for (const job of jobs) {
    const name = pair(escapePart(job.queue), job.id);
    if (seen.has(name)) yield `I3: ${show(job)} is there twice`;
    seen.add(name);
    const key = entries.get(name)?.at ?? decodeId(job.queue, job.id);
    if (!key || !sameKey(key, job.key)) yield `I3: ${show(job)}, ${job.key[0]}, is not reachable by its id`;
  }
  for (const name of entries.keys()) if (!seen.has(name)) yield `I3: the ids entry ${name} outlived its job`;
}

function* dedupe(records: Snapshot): Iterable<string> {
  const live = new Map(records.jobs.filter(isLive).map((job) => [pair(escapePart(job.queue), job.id), job]));
  const entries = new Map<string, DedupeRecord>();
  for (const entry of records.dedupe) {
    const [lane, key] = entry.key;
    entries.set(pair(lane, key), entry);
    const alive = live.get(pair(lane, entry.holder))?.dedupe?.key === key;
    const name = `dedupe key ${JSON.stringify(key)}`;
    // An entry with `until` may outlive its holder, and is deleted some time after it has expired.
    if (!alive && entry.until === undefined) yield `I4: ${name} is held by ${entry.holder}, which is not alive`;
    else if (!alive && !entry.ended) yield `I4: ${name} does not know that its holder ${entry.holder} has ended`;
    else if (alive && entry.ended) yield `I4: ${name} takes its living holder ${entry.holder} for ended`;
  }
  for (const job of live.values()) {
    if (job.dedupe?.mode !== "drop") continue;
    const holder = entries.get(pair(escapePart(job.queue), job.dedupe.key))?.holder;
    if (holder !== job.id) yield `I4: ${show(job)} is alive and does not hold its dedupe key`;
  }
}

/** Checks that the record of a dedupe key names the successor of its holder, and that the key blocks the successor. */
function* successors({ jobs, dedupe }: Snapshot): Iterable<string> {
  const known = new Map(
    dedupe.flatMap(({ key, holder, successor }) =>
      successor === undefined ? [] : [[pair(key[0], successor), holder] as const],
    ),
  );
  const waiting = new Map(
    jobs.flatMap((job) => {
      const [reason, holder] = blockOf(job.key) ?? [];
      return reason === "successor" ? [[pair(escapePart(job.queue), job.id), holder as string] as const] : [];
    }),
  );
  for (const [name, holder] of known)
    if (waiting.get(name) !== holder) yield `I4: ${name} is to succeed ${holder} and does not wait for it`;
  for (const [name, holder] of waiting)
    if (!known.has(name)) yield `I4: ${name} waits to succeed ${holder} and no dedupe key knows of it`;
}

function* groups({ jobs, leases, cells }: Snapshot, lowered: boolean): Iterable<string> {
  const told = new Map<string, GroupCell>(
    cells.flatMap(({ key, value }) =>
      key[0].startsWith("group/") ? [[`${key[0]}\n${key[1]}`, value as GroupCell] as const] : [],
    ),
  );
  const stale = new Map([...told].map(([name, { seats = [] }]) => [name, new Set(seats.map(keyText))]));
  const held = new Set(leases.flatMap((lease) => lease.held.map(({ key }) => keyText(key))));
  const found = new Map<string, { limit: number; running: number; seated: number; blocked: number }>();
  for (const job of jobs) {
    if (!job.group || !isLive(job)) continue;
    const name = `group/${escapePart(job.queue)}\n${job.group.key}`;
    const { limit = 1 } = told.get(name) ?? {};
    const group = found.get(name) ?? { limit, running: 0, seated: 0, blocked: 0 };
    found.set(name, group);
    const listed = job.key[0] === "ready" && stale.get(name)?.delete(keyText(job.key));
    if (held.has(keyText(job.key))) group.running++;
    else if (listed) group.seated++;
    else if (job.key[0] === "ready" && isUndelayed(job.key))
      yield `I5: ${show(job)} is in line without a seat of ${name}`;
    else if (blockOf(job.key)?.[0] === "group") group.blocked++;
  }
  for (const [name, seats] of stale)
    for (const seat of seats) yield `I5: ${name} lists the seat ${seat}, where none of its jobs is in line`;
  for (const [name, { limit, running, seated, blocked }] of found) {
    if (running > limit && !lowered) yield `I5: of ${name} ${running} jobs run, ${limit} may`;
    if (blocked > 0 && seated < Math.min(SEATS, limit - running))
      yield `I5: of ${name} ${blocked} jobs wait although ${running} run and ${seated} are in line, ${limit} may run`;
  }
}

function* families({ jobs, cells }: Snapshot): Iterable<string> {
  const live = new Set(jobs.filter(isLive).map((job) => pair(job.queue, job.id)));
  const pending = new Map<string, number>();
  for (const { key, value } of cells) {
    if (!key[0].startsWith("member/") || !(value as Member).pending) continue;
    const [, queue, parent] = key[0].split("/") as [string, string, string];
    const name = pair(queue, parent);
    pending.set(name, (pending.get(name) ?? 0) + 1);
    if (!live.has(key[1])) yield `I7: the child ${key[1]} of ${name} is pending and not alive`;
  }
  const waits = new Map<string, number>();
  for (const { key, value } of cells)
    if (key[0].startsWith("family/"))
      waits.set(pair(key[0].slice("family/".length), escapePart(key[1])), (value as Family).pending);
  for (const name of new Set([...pending.keys(), ...waits.keys()]))
    if ((pending.get(name) ?? 0) !== waits.get(name))
      yield `I7: ${name} waits for ${waits.get(name)} children, ${pending.get(name) ?? 0} are pending`;
  for (const job of jobs) {
    const name = pair(escapePart(job.queue), escapePart(job.id));
    const [reason, id] = blockOf(job.key) ?? [];
    const blocked = reason === "children" && id === job.id;
    const waiting = (waits.get(name) ?? 0) > 0;
    waits.delete(name);
    // A job that an operator may retry is not unfinished, and waits after a retry.
    if (blocked !== waiting && isLive(job))
      yield `I7: ${show(job)} ${blocked ? "waits" : "does not wait"} for its children`;
  }
  for (const name of waits.keys()) yield `I7: the children of ${name} are stored, and the parent is not`;
}

/**
 * Checks that at most one occurrence of a recurrence is pending, and that it is the one in the record. Other
 * occurrences were claimed or retried.
 */
function* recurrences({ jobs, cells }: Snapshot): Iterable<string> {
  const live = new Map(jobs.filter(isLive).map((job) => [pair(escapePart(job.queue), job.id), job]));
  for (const { key, value } of cells) {
    if (!key[0].startsWith("schedule/")) continue;
    const { nextAt, nextId } = value as ScheduleCell;
    if ((nextAt === undefined) !== (nextId === undefined)) yield `R24: ${key[1]} is pending by half`;
    if (nextId === undefined) continue;
    const job = live.get(pair(key[0].slice("schedule/".length), nextId));
    if (!job) yield `R24: the pending occurrence ${nextId} of ${key[1]} is not alive`;
    else if (job.recurrence !== key[1]) yield `R24: the pending occurrence ${nextId} of ${key[1]} is not its own`;
  }
}

/** Checks that a queue lists its blocked names, unless the list is full. Unlisted names would never be unblocked. */
function* blockedNames({ jobs, cells }: Snapshot): Iterable<string> {
  const listed = new Set<string>();
  const full = new Set<string>();
  for (const { key, value } of cells) {
    if (key[0] !== "queue") continue;
    const { blockedNames: names = [] } = value as QueueSettings;
    for (const name of names) listed.add(pair(key[1], name));
    if (names.length >= 100) full.add(key[1]);
  }
  for (const job of jobs) {
    const [reason, name] = blockOf(job.key) ?? [];
    if (reason === "name" && !full.has(job.queue) && !listed.has(pair(job.queue, name as string)))
      yield `R17: ${show(job)} stepped aside and its name is not listed`;
  }
}

/**
 * Compares the stored counts of jobs by place (tallies) with the records. A place that was not counted yet has no
 * tally.
 */
function* tallies(records: Snapshot): Iterable<string> {
  for (const tally of records.tallies) {
    const queue = tally.key[0];
    const found = { ready: 0, blocked: 0, completed: 0, failed: 0, cancelled: 0 } satisfies Omit<TallyRecord, "key">;
    for (const { key } of records.jobs)
      if (queueOf(key) === queue) found[key[0] === "finished" ? endStateOf(key) : key[0]]++;
    for (const place of Object.keys(found) as (keyof typeof found)[]) {
      const told = tally[place];
      if (told !== undefined && told !== found[place])
        yield `I6: the tally of ${JSON.stringify(queue)} says ${told} ${place}, there are ${found[place]}`;
    }
  }
}
