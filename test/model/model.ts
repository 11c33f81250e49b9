import type { ClaimQueue } from "@quayside/core";
import type { Command, ExchangeReply, ExchangeRequest, NewJob } from "@quayside/core/engine";

/**
 * The rules a second time, as arrays and maps, with nothing of the engine: what the model-based test compares it with.
 * It reads every job at every step, and takes from the engine only what nobody can predict: generated ids, and how long
 * an interrupted job waits.
 */

export type EndState = "completed" | "failed" | "cancelled";

export interface ModelJob {
  /** Unknown until the engine has told it. */
  id: string | undefined;
  queue: string;
  name: string;
  payload: string;
  priority: number;
  at: number;
  /** Somebody asked for a delay, so it waits also after the clock was set back. */
  delayed: boolean;
  order: number;
  addedAt: number;
  place: "ready" | "blocked" | EndState | "gone";
  waitsFor?: "name" | "group" | "successor" | "children";
  attempts: number;
  interruptions: number;
  exceptions: number;
  maxAttempts: number;
  maxExceptions: number;
  dedupe?: NewJob["dedupe"];
  group?: string;
  keep?: NewJob["keep"];
  /** Its number among the jobs that ended as it did, if it was kept: one more than that of the newest one then kept. */
  endNumber?: number;
  expiresAt?: number;
  /** The parents that wait for it, or have waited, and what becomes of each when it fails. */
  parents: Map<ModelJob, "fail" | "ignore">;
  /** Its children that have not ended. */
  children?: Set<ModelJob>;
  outcomes?: Map<ModelJob, EndState>;
  recurrence?: string;
  /** The ancestor of its flow that has a key, and its position below that: they make its id. */
  below?: string;
  /** The limit that it was added with. */
  groupLimit?: number;
  /** It has a seat of its group: it is in line, and was there before the limit was reached, or came back. */
  seated?: boolean;
  held?: { worker: string; token: string; cancel?: "cancel" | "remove"; alone: boolean };
  error?: string;
}

interface Key {
  holder: ModelJob;
  successor?: ModelJob;
  mode: string;
  since?: number;
  until?: number;
  ended?: boolean;
}

interface ModelQueue {
  paused: boolean;
  keep: { completed: number; failed: number; cancelled: number };
  rateLimit?: { max: number; perMs: number };
  maxActive?: number;
  starts: { first: number; last: number; count: number }[];
  blockedNames: Set<string>;
}

export interface ModelSchedule {
  queue: string;
  key: string;
  everyMs: number;
  limit: number;
  job: NewJob;
  said: string;
  count: number;
  pending?: ModelJob;
  nextAt?: number;
}

export interface ModelLease {
  number: number;
  leaseMs: number;
  /** By the monotonic clock. */
  renewed: number;
}

export type Receipt = { job: ModelJob | undefined; id: string | undefined; deduplicated: boolean };
export type Answer = { affected: number; state?: string | undefined } | { refused: string };

interface End {
  job: ModelJob;
  state: EndState;
  counted?: boolean;
  error?: string;
  trace?: boolean;
}

const LIMIT_OF_INTERRUPTIONS = 10;
const byPlace = (a: ModelJob, b: ModelJob): number => b.priority - a.priority || a.at - b.at || a.order - b.order;

/** A token says in which exchange a job was claimed, and as which of it. */
function claimOrder({ held }: ModelJob): number {
  const [exchange, index] = (held?.token ?? "").split(".").map(Number) as [number, number];
  return exchange * 1_000 + index;
}

export class Model {
  now = 0;
  monotonic = 0;
  jobs: ModelJob[] = [];
  readonly queues = new Map<string, ModelQueue>();
  readonly keys = new Map<string, Key>();
  readonly limits = new Map<string, number>();
  readonly leases = new Map<string, ModelLease>();
  readonly schedules = new Map<string, ModelSchedule>();
  /** Orders minted, by driver. */
  readonly #orders: number[] = [];
  #driver = 0;
  /** What is to follow from what was done. */
  #ended: { job: ModelJob; state: EndState }[] = [];
  #succeed: ModelJob[] = [];

  queue(name: string): ModelQueue {
    let queue = this.queues.get(name);
    if (!queue) {
      queue = {
        paused: false,
        keep: { completed: 100, failed: 1_000, cancelled: 100 },
        blockedNames: new Set(),
        starts: [],
      };
      this.queues.set(name, queue);
    }
    return queue;
  }

  live(): ModelJob[] {
    return this.jobs.filter(({ place }) => place === "ready" || place === "blocked");
  }

  find(queue: string, id: string): ModelJob | undefined {
    return this.jobs.find((job) => job.place !== "gone" && job.queue === queue && job.id === id);
  }

  stateOf(job: ModelJob): string {
    if (job.held) return "active";
    if (job.place === "ready") return job.delayed && job.at > this.now ? "delayed" : "waiting";
    return job.place === "blocked" ? "waiting" : job.place;
  }

  counts(name: string): Record<string, number | boolean> {
    const counts: Record<string, number | boolean> = {
      waiting: 0,
      delayed: 0,
      active: 0,
      completed: 0,
      failed: 0,
      cancelled: 0,
    };
    for (const job of this.jobs)
      if (job.queue === name && job.place !== "gone") (counts[this.stateOf(job)] as number)++;
    return { ...counts, paused: this.queue(name).paused };
  }

  /** All that follows is done by this driver, whose orders only grow. */
  by(driver: number): this {
    this.#driver = driver;
    return this;
  }

  #nextOrder(): number {
    const last = this.#orders[this.#driver] ?? 0;
    const even = Math.max(last + 2, this.now * 1024);
    this.#orders[this.#driver] = even;
    return even;
  }

  #stand(job: ModelJob, delayMs: number): void {
    const even = this.#nextOrder();
    job.seated = false;
    job.at = this.now + delayMs;
    job.delayed = delayMs > 0;
    job.order = delayMs > 0 ? even + 1 : even;
  }

  #running = (queue: string, group: string): number =>
    this.jobs.filter((job) => job.held && job.queue === queue && job.group === group).length;
  #limit = (queue: string, group: string): number => this.limits.get(`${queue} ${group}`) ?? 1;

  /** A job in line brings its limit, if none is in force. */
  #adopt({ queue, group, groupLimit }: ModelJob): void {
    const name = `${queue} ${group}`;
    if (groupLimit && !this.limits.has(name)) this.limits.set(name, groupLimit);
  }

  /** A limit is in force while its group has jobs in line or running. */
  #dropLimits(): void {
    const used = new Set(
      [...this.live()].flatMap(({ queue, group, place, held, seated, delayed, waitsFor }) =>
        held || (place === "ready" && (seated || !delayed)) || waitsFor === "group" ? [`${queue} ${group}`] : [],
      ),
    );
    for (const name of this.limits.keys()) if (!used.has(name)) this.limits.delete(name);
  }

  /** The jobs of each group. */
  #groups(): ModelJob[][] {
    const groups = new Map<string, ModelJob[]>();
    for (const job of this.live()) {
      if (job.group === undefined) continue;
      const name = `${job.queue} ${job.group}`;
      groups.set(name, [...(groups.get(name) ?? []), job]);
    }
    return [...groups.values()];
  }

  /** How many more of a group may come in line. */
  #free(jobs: readonly ModelJob[]): number {
    const [{ queue, group }] = jobs as [ModelJob];
    const taken = jobs.filter(({ held, seated }) => held || seated).length;
    return Math.max(0, this.#limit(queue, group as string) - taken);
  }

  /** A job that came in line undelayed takes a free seat, or that of a job behind it which does not run; else it waits. */
  #seat(): void {
    for (const jobs of this.#groups()) {
      const inLine = jobs.filter(({ place, held }) => place === "ready" && !held);
      for (const job of inLine.filter((job) => job.seated || !job.delayed).sort(byPlace)) this.#adopt(job);
      const seated = inLine.filter((job) => job.seated);
      const crowded = jobs.some(({ waitsFor }) => waitsFor === "group");
      const seats = seated.length + (crowded ? 0 : this.#free(jobs));
      const line = inLine.filter((job) => job.seated || !job.delayed).sort(byPlace);
      for (const [index, job] of line.entries()) {
        job.seated = index < seats;
        if (!job.seated) this.#stepAside(job, "group");
      }
    }
  }

  /** Free seats go to the jobs that wait for them, in order. */
  #returnToRoom(): void {
    for (const jobs of this.#groups()) {
      const blocked = jobs.filter(({ waitsFor }) => waitsFor === "group").sort(byPlace);
      for (const job of blocked.slice(0, this.#free(jobs))) {
        this.#toReady(job);
        job.seated = true;
      }
    }
  }

  #stepAside(job: ModelJob, reason: "name" | "group"): void {
    job.place = "blocked";
    job.waitsFor = reason;
    job.seated = false;
  }

  #toReady(job: ModelJob): void {
    job.place = "ready";
    delete job.waitsFor;
    this.#comes(job);
  }

  /** A due job that comes back in line, or is changed there, gives its group the limit, if none is in force. */
  #comes(job: ModelJob): void {
    if (job.group !== undefined && (!job.delayed || job.at <= this.now)) this.#adopt(job);
  }

  // --- adding

  enqueue(jobs: readonly NewJob[]): Receipt[] {
    const receipts: Receipt[] = [];
    const placed = new Set<ModelJob>();
    const refs = new Map<string, Receipt>();
    const over: [ModelJob, ModelJob, "fail" | "ignore"][] = [];
    const belows = this.#belows(jobs);
    for (const [index, job] of jobs.entries()) {
      const above = job.flow?.parentRef === undefined ? undefined : refs.get(job.flow.parentRef);
      const receipt: Receipt = above?.deduplicated
        ? { job: undefined, id: job.id, deduplicated: true }
        : this.#enqueueOne(job, placed, belows[index]);
      receipts.push(receipt);
      if (job.flow?.ref !== undefined) refs.set(job.flow.ref, receipt);
      const parent = above?.job;
      const child = receipt.job;
      if (parent && child && !above.deduplicated && !parent.children?.has(child)) {
        const onFailure = job.flow?.onFailure ?? "fail";
        parent.children ??= new Set();
        parent.children.add(child);
        parent.outcomes ??= new Map();
        parent.place = "blocked";
        parent.waitsFor = "children";
        if (child.place === "ready" || child.place === "blocked") child.parents.set(parent, onFailure);
        else over.push([parent, child, onFailure]);
      }
    }
    this.jobs.push(...placed);
    for (const [parent, child, onFailure] of over)
      this.#settleFamily(parent, [{ state: child.place as EndState, job: child, onFailure }]);
    this.#setLimits(jobs);
    this.#follow();
    return receipts;
  }

  #setLimits(jobs: readonly NewJob[]): void {
    const limits = new Map(
      jobs.flatMap(({ queue, group }) => (group?.limit ? [[`${queue} ${group.key}`, group.limit] as const] : [])),
    );
    for (const [name, limit] of limits) {
      this.limits.set(name, limit);
    }
  }

  /** For each child without an id of its own, but with an ancestor that has one: what makes its id. */
  #belows(jobs: readonly NewJob[]): (string | undefined)[] {
    const positions = new Map<NewJob, number>();
    return jobs.map(({ queue, id, flow }) => {
      const parentOf = (ref: string | undefined) => jobs.find((one) => ref !== undefined && one.flow?.ref === ref);
      let anchor = parentOf(flow?.parentRef);
      while (anchor && anchor.id === undefined && !anchor.dedupe) anchor = parentOf(anchor.flow?.parentRef);
      if (!anchor) return undefined;
      const position = positions.get(anchor) ?? 0;
      positions.set(anchor, position + 1);
      if (id !== undefined) return undefined;
      return anchor.id === undefined ? undefined : `${queue} ${anchor.queue} ${anchor.id} ${position}`;
    });
  }

  #enqueueOne(job: NewJob, placed: Set<ModelJob>, below?: string): Receipt {
    const stands =
      below === undefined ? undefined : this.jobs.find((one) => one.below === below && one.place !== "gone");
    if (stands && !this.#isLive(stands)) stands.place = "gone";
    const twin =
      job.id === undefined
        ? stands && this.#isLive(stands)
          ? stands
          : undefined
        : (this.find(job.queue, job.id) ?? [...placed].find((one) => one.queue === job.queue && one.id === job.id));
    if (twin) return { job: twin, id: twin.id, deduplicated: true };
    const name = `${job.queue} ${job.dedupe?.key}`;
    const key = job.dedupe && this.keys.get(name);
    if (key && job.dedupe && this.#isTaken(key)) {
      const { mode, maxWaitMs } = job.dedupe;
      if (key.ended || mode === "drop" || mode === "throttle")
        return { job: key.holder, id: key.holder.id, deduplicated: true };
      const standing = key.successor ?? key.holder;
      key.mode = mode;
      if (standing.held) {
        key.since = this.now;
        const next = this.#newJob(job);
        next.place = "blocked";
        next.waitsFor = "successor";
        key.successor = next;
        placed.add(next);
        return { job: next, id: next.id, deduplicated: false };
      }
      if (mode === "debounce") key.since ??= standing.addedAt;
      this.#replace(standing, job);
      if (mode === "debounce") {
        const delay = Math.min(
          job.delayMs ?? 0,
          maxWaitMs === undefined ? Number.POSITIVE_INFINITY : (key.since as number) + maxWaitMs - this.now,
        );
        this.#stand(standing, Math.max(0, delay));
      }
      return { job: standing, id: standing.id, deduplicated: true };
    }
    const added = this.#newJob(job);
    if (below !== undefined) added.below = below;
    placed.add(added);
    if (job.dedupe) this.#takeKey(added);
    return { job: added, id: added.id, deduplicated: false };
  }

  #newJob(job: NewJob): ModelJob {
    const added: ModelJob = {
      id: job.id,
      queue: job.queue,
      at: 0,
      delayed: false,
      order: 0,
      addedAt: this.now,
      place: "ready",
      attempts: 0,
      interruptions: 0,
      exceptions: 0,
      parents: new Map(),
      ...this.#given(job),
    };
    this.#stand(added, job.delayMs ?? 0);
    return added;
  }

  #given(job: NewJob) {
    return {
      name: job.name,
      payload: job.payload,
      priority: job.priority ?? 0,
      maxAttempts: job.maxAttempts ?? 3,
      maxExceptions: job.maxExceptions ?? Number.POSITIVE_INFINITY,
      ...(job.dedupe && { dedupe: job.dedupe }),
      ...(job.group && { group: job.group.key }),
      ...(job.group?.limit && { groupLimit: job.group.limit }),
      ...(job.keep && { keep: job.keep }),
      ...(job.expiresInMs !== undefined && { expiresAt: this.now + job.expiresInMs }),
    };
  }

  #replace(job: ModelJob, by: NewJob): void {
    const before = { group: job.group, priority: job.priority, waited: job.waitsFor };
    for (const option of ["dedupe", "group", "groupLimit", "keep", "expiresAt"] as const) delete job[option];
    Object.assign(job, this.#given(by));
    if (before.group !== job.group || before.priority !== job.priority) job.seated = false;
    if (before.waited === "name" || before.waited === "group") this.#toReady(job);
  }

  #isTaken(key: Key): boolean {
    return (key.until !== undefined && key.until > this.now) || (key.mode !== "throttle" && !key.ended);
  }

  #takeKey(job: ModelJob): void {
    if (!job.dedupe) return;
    const { key, mode, ttlMs } = job.dedupe;
    this.keys.set(`${job.queue} ${key}`, {
      holder: job,
      mode,
      since: this.now,
      ...(ttlMs !== undefined && { until: this.now + ttlMs }),
    });
  }

  // --- ending

  #end(ends: readonly End[]): void {
    const lanes = new Set<string>();
    for (const { job, state, counted, error, trace = true } of ends) {
      if (counted) this.#count(job, error);
      if (error !== undefined) job.error = error;
      const limit = trace ? (job.keep?.[state] ?? this.queue(job.queue).keep[state]) : 0;
      this.#stand(job, 0);
      delete job.held;
      delete job.waitsFor;
      job.endNumber = this.#newest(job.queue, state) + 1;
      job.place = limit > 0 ? state : "gone";
      if (limit > 0) lanes.add(`${job.queue} ${state}`);
      this.#ended.push({ job, state });
      this.#freeKey(job);
    }
    for (const lane of lanes) {
      const [queue, state] = lane.split(" ") as [string, EndState];
      this.#prune(queue, state);
    }
  }

  #kept(queue: string, state: EndState): ModelJob[] {
    return this.jobs.filter((job) => job.queue === queue && job.place === state);
  }

  #newest(queue: string, state: EndState): number {
    return Math.max(0, ...this.#kept(queue, state).map(({ endNumber = 0 }) => endNumber));
  }

  #prune(queue: string, state: EndState): void {
    const last = this.#newest(queue, state) - this.queue(queue).keep[state];
    for (const job of this.#kept(queue, state)) if ((job.endNumber ?? 0) <= last) job.place = "gone";
  }

  #freeKey(job: ModelJob): void {
    if (!job.dedupe) return;
    const name = `${job.queue} ${job.dedupe.key}`;
    const key = this.keys.get(name);
    if (!key) return;
    if (key.successor === job) delete key.successor;
    else if (key.holder !== job) return;
    else if (key.successor) {
      key.holder = key.successor;
      delete key.successor;
      this.#succeed.push(key.holder);
    } else if (key.until !== undefined && key.until > this.now) key.ended = true;
    else this.keys.delete(name);
  }

  #count(job: ModelJob, error: string | undefined): void {
    job.attempts++;
    if (error !== undefined && error !== "timeout") job.exceptions++;
  }

  /** Families, next occurrences, successors and groups, until nothing follows any more. */
  #follow(last = true): void {
    while (this.#ended.length + this.#succeed.length > 0) {
      const [ended, succeed] = [this.#ended, this.#succeed];
      this.#ended = [];
      this.#succeed = [];
      const families = new Set(ended.flatMap(({ job }) => [...job.parents.keys()]));
      for (const parent of families)
        this.#settleFamily(
          parent,
          ended.flatMap(({ job, state }) => {
            const onFailure = job.parents.get(parent);
            return onFailure ? [{ job, state, onFailure }] : [];
          }),
        );
      for (const { job } of ended) this.#placeNext(job);
      for (const job of succeed) if (job.waitsFor === "successor") this.#toReady(job);
    }
    this.#seat();
    this.#returnToRoom();
    if (last) this.#dropLimits();
  }

  #settleFamily(
    parent: ModelJob,
    ends: readonly { job: ModelJob; state: EndState; onFailure: "fail" | "ignore" }[],
  ): void {
    const mine = ends.filter(({ job }) => parent.children?.delete(job));
    for (const { job, state } of mine) parent.outcomes?.set(job, state);
    if (parent.place !== "blocked" || parent.waitsFor !== "children" || mine.length === 0) return;
    if (mine.some(({ state, onFailure }) => state !== "completed" && onFailure === "fail"))
      this.#end([{ job: parent, state: "failed", error: "child_failed" }]);
    else if (parent.children?.size === 0) this.#toReady(parent);
  }

  #isLive = ({ place }: ModelJob): boolean => place === "ready" || place === "blocked";

  /** The code with which a flow is refused, if it is. Nothing is stored, yet its driver counts on from the jobs that were new. */
  refuse(jobs: readonly NewJob[]): string | undefined {
    const isNew = new Set<string>();
    const refusal = this.#refusalOf(jobs, isNew);
    if (refusal !== undefined) for (const _ of isNew) this.#nextOrder();
    return refusal;
  }

  /** Whose children exist, or wait for each other; only of jobs that drop. */
  #refusalOf(jobs: readonly NewJob[], isNew: Set<string>): string | undefined {
    if (!jobs.some(({ flow }) => flow)) return undefined;
    const named = new Map<string, string>();
    const names: string[] = [];
    const edges: [string, string][] = [];
    const belows = this.#belows(jobs);
    for (const [index, { queue, id, dedupe, flow }] of jobs.entries()) {
      const parent = jobs.findIndex((one) => flow?.parentRef !== undefined && one.flow?.ref === flow.parentRef);
      if (parent >= 0 && !isNew.has(names[parent] as string)) {
        names.push("none");
        continue;
      }
      const key = dedupe && `${queue} ${dedupe.key}`;
      const held = key === undefined ? undefined : this.keys.get(key);
      const holder = held && this.#isTaken(held) ? held.holder : undefined;
      const own = id === undefined ? undefined : `id ${queue} ${id}`;
      const below = belows[index];
      const standing =
        id === undefined
          ? this.jobs.find((one) => below !== undefined && one.below === below && this.#isLive(one))
          : this.find(queue, id);
      const mine = (own && named.get(own)) ?? (standing || holder ? undefined : key && named.get(`key ${key}`));
      const target = standing ?? (mine === undefined ? holder : undefined);
      let name = mine ?? `new ${index}`;
      if (target) name = target.place === "gone" ? "gone" : `old ${this.jobs.indexOf(target)}`;
      else if (mine === undefined) {
        isNew.add(name);
        if (own) named.set(own, name);
        if (key) named.set(`key ${key}`, name);
      }
      // A duplicate has no children of its own.
      names.push(mine === undefined ? name : "none");
      if (parent < 0) continue;
      if (name === "gone") return "child_exists";
      edges.push([names[parent] as string, name]);
    }
    for (let left = edges; left.length > 0; ) {
      const next = left.filter(([parent]) => left.some(([, child]) => child === parent));
      if (next.length === left.length) return "invalid_option";
      left = next;
    }
    return undefined;
  }

  // --- recurrences

  schedule(queue: string, key: string, rule: { everyMs: number; limit?: number }, job: NewJob): Answer {
    const said = JSON.stringify([rule, job]);
    const name = `${queue} ${key}`;
    const before = this.schedules.get(name);
    const stranded = before?.nextAt !== undefined && before.nextAt > this.now + rule.everyMs;
    if (before?.said === said && !stranded) return { affected: 0 };
    const limit = rule.limit ?? Number.POSITIVE_INFINITY;
    if (before?.everyMs === rule.everyMs) {
      this.#reschedule(before, job, limit);
      before.said = said;
      this.#setLimits([job]);
      this.#follow();
      return { affected: 1 };
    }
    const next: ModelSchedule = { queue, key, everyMs: rule.everyMs, limit, job, said, count: 0 };
    this.schedules.set(name, next);
    // One that is due already still runs.
    if (before?.pending && before.pending.at > this.now) this.#dropPending(before);
    this.#occur(next, this.now + rule.everyMs);
    this.#setLimits([job]);
    this.#follow();
    return { affected: 1 };
  }

  unschedule(queue: string, key: string): Answer {
    const schedule = this.schedules.get(`${queue} ${key}`);
    if (!schedule) return { affected: 0 };
    this.schedules.delete(`${queue} ${key}`);
    this.#dropPending(schedule);
    this.#follow();
    return { affected: 1 };
  }

  /** The same interval: phase, count and pending occurrence stay, and take the new payload and options. */
  #reschedule(schedule: ModelSchedule, job: NewJob, limit: number): void {
    const { pending, nextAt } = schedule;
    Object.assign(schedule, { job, limit });
    if (!pending) {
      if (schedule.count < limit) this.#occur(schedule, this.now + schedule.everyMs);
      return;
    }
    const stranded = (nextAt as number) > this.now + schedule.everyMs;
    if (!pending.held && (stranded || schedule.count > limit)) {
      delete schedule.pending;
      delete schedule.nextAt;
      this.#end([{ job: pending, state: "cancelled", trace: false }]);
    }
    if (stranded) {
      schedule.count--;
      const ahead = Math.floor(((nextAt as number) - this.now - 1) / schedule.everyMs);
      this.#occur(schedule, (nextAt as number) - schedule.everyMs * ahead);
      return;
    }
    if (pending.held || schedule.pending === undefined) return;
    this.#replace(pending, job);
    if (job.expiresInMs !== undefined) pending.expiresAt = (nextAt as number) + job.expiresInMs;
  }

  #dropPending({ pending }: ModelSchedule): void {
    if (pending && !pending.held) this.#end([{ job: pending, state: "cancelled", trace: false }]);
  }

  #placeNext(job: ModelJob): void {
    const schedule = job.recurrence === undefined ? undefined : this.schedules.get(`${job.queue} ${job.recurrence}`);
    if (!schedule || schedule.pending !== job) return;
    const last = schedule.nextAt as number;
    const ahead = Math.floor((last - this.now - 1) / schedule.everyMs);
    // The clock was set back: within one interval, in phase.
    const missed = Math.max(0, Math.floor((this.now - last) / schedule.everyMs));
    this.#occur(schedule, last + schedule.everyMs * (ahead > 0 ? -ahead : missed + 1));
  }

  #occur(schedule: ModelSchedule, at: number): void {
    delete schedule.pending;
    delete schedule.nextAt;
    if (schedule.count >= schedule.limit) return;
    const { id: _, delayMs: __, expiresInMs, ...job } = schedule.job;
    const next = this.#newJob(job as NewJob);
    next.recurrence = schedule.key;
    if (expiresInMs !== undefined) next.expiresAt = at + expiresInMs;
    this.#stand(next, at - this.now);
    this.jobs.push(next);
    schedule.count++;
    schedule.pending = next;
    schedule.nextAt = at;
  }

  // --- commands

  command(request: Command): Answer {
    const answer = this.#command(request);
    this.#follow();
    return answer;
  }

  #command(request: Command): Answer {
    switch (request.type) {
      case "pause":
      case "resume":
        this.queue(request.queue).paused = request.type === "pause";
        return { affected: 0 };
      case "configure":
        return this.#configure(request);
      case "clear": {
        const fits = (job: ModelJob) =>
          job.queue === request.queue &&
          job.place !== "gone" &&
          (request.name === undefined || job.name === request.name) &&
          (request.state === undefined || this.stateOf(job) === request.state);
        const chosen = this.jobs.filter(fits);
        const running = chosen.filter((job) => job.held).filter((job) => this.#ask(job, "remove").affected > 0);
        const rest = chosen.filter((job) => !job.held);
        this.#erase(rest);
        return { affected: running.length + rest.length };
      }
      case "retryAll": {
        const state = request.state ?? "failed";
        const found = this.jobs
          .filter((job) => job.queue === request.queue && job.place === state)
          .filter((job) => request.name === undefined || job.name === request.name)
          .sort((a, b) => a.at - b.at || a.order - b.order);
        return { affected: found.filter((job) => "affected" in this.#retry(job)).length };
      }
      case "schedule":
      case "unschedule":
        throw new Error("These have methods of their own.");
      default: {
        const job = this.find(request.queue, request.id);
        if (!job)
          return request.type === "cancel" || request.type === "remove"
            ? { affected: 0 }
            : { refused: "job_not_found" };
        return this.#onJob(request, job);
      }
    }
  }

  #onJob(request: Extract<Command, { id: string }>, job: ModelJob): Answer {
    const state = this.stateOf(job);
    const isLive = job.place === "ready" || job.place === "blocked";
    switch (request.type) {
      case "cancel":
        if (!isLive) return { affected: 0, state };
        if (job.held) return this.#ask(job, "cancel");
        this.#end([{ job, state: "cancelled" }]);
        return { affected: 1, state: "cancelled" };
      case "remove":
        if (job.held) return this.#ask(job, "remove");
        this.#erase([job]);
        return { affected: 1 };
      case "retry":
        return this.#retry(job);
      case "promote":
        if (state === "waiting") return { affected: 0, state };
        if (state !== "delayed") return { refused: "conflict" };
        this.#stand(job, 0);
        return { affected: 1, state: "waiting" };
      case "update":
        if (state !== "waiting" && state !== "delayed") return { refused: "conflict" };
        if (request.priority !== undefined && request.priority !== job.priority) job.seated = false;
        if (request.payload !== undefined) job.payload = request.payload;
        if (request.priority !== undefined) job.priority = request.priority;
        if (request.delayMs !== undefined) {
          this.#stand(job, request.delayMs);
          if (job.waitsFor === "name" || job.waitsFor === "group") this.#toReady(job);
        }
        if (job.place === "ready") this.#comes(job);
        return { affected: 1, state: this.stateOf(job) };
    }
  }

  #ask(job: ModelJob, wish: "cancel" | "remove"): { affected: number; state: string } {
    const { held } = job;
    if (!held || held.cancel === wish || held.cancel === "remove") return { affected: 0, state: "active" };
    held.cancel = wish;
    return { affected: 1, state: "active" };
  }

  #erase(jobs: readonly ModelJob[]): void {
    const live = jobs.filter(({ place }) => place === "ready" || place === "blocked");
    for (const job of jobs) if (!live.includes(job)) job.place = "gone";
    this.#end(live.map((job) => ({ job, state: "cancelled" as const, trace: false })));
  }

  #retry(job: ModelJob): Answer {
    if (job.place !== "failed" && job.place !== "cancelled") return { refused: "conflict" };
    if (job.dedupe) {
      const key = this.keys.get(`${job.queue} ${job.dedupe.key}`);
      if (key && key.holder !== job && this.#isTaken(key)) return { refused: "conflict" };
      this.#takeKey(job);
    }
    this.#toReady(job);
    if (job.children && job.children.size > 0) {
      job.place = "blocked";
      job.waitsFor = "children";
    }
    this.#stand(job, 0);
    Object.assign(job, { attempts: 0, interruptions: 0, exceptions: 0 });
    delete job.expiresAt;
    return { affected: 1, state: "waiting" };
  }

  #configure({ queue: name, keep, rateLimit, maxActive }: Extract<Command, { type: "configure" }>): Answer {
    const queue = this.queue(name);
    if (rateLimit) queue.rateLimit = rateLimit;
    if (rateLimit === null) delete queue.rateLimit;
    if (maxActive) queue.maxActive = maxActive;
    if (maxActive === null) delete queue.maxActive;
    if (keep) {
      queue.keep = { ...queue.keep, ...keep };
      for (const state of ["completed", "failed", "cancelled"] as const) this.#prune(name, state);
    }
    return { affected: 0 };
  }

  // --- workers

  /**
   * One exchange. `recovered`: the workers whose leases the engine has taken back in it, and how its jobs then stand; the
   * caller has made sure that it might. Answers what is to be claimed, in order, and what was lost.
   */
  exchange(
    request: ExchangeRequest,
    recovered: { workers: readonly string[]; jobs: ExchangeReply["interrupted"] },
  ): { jobs: ModelJob[]; lost: string[]; cancel: string[]; interrupted: ModelJob[] } {
    const mine = this.jobs.filter((job) => job.held?.worker === request.worker);
    const lost = this.#settle(mine, request);
    const running = new Set(request.running);
    const unknown = mine.filter((job) => job.held && !running.has(job.held.token));
    const cancelled = unknown.filter((job) => job.held?.cancel);
    const trace = new Map(cancelled.map((job) => [job, job.held?.cancel !== "remove"]));
    for (const job of unknown) if (!trace.has(job)) this.#giveBack(job);
    this.#end(cancelled.map((job) => ({ job, state: "cancelled" as const, trace: trace.get(job) as boolean })));
    const known = mine.filter((job) => job.held);
    lost.push(...request.running.filter((token) => !known.some((job) => job.held?.token === token)));
    const cancel = known.filter((job) => job.held?.cancel).map((job) => job.held?.token as string);

    const asked = request.settle.length + request.running.length;
    if (mine.length === 0 && asked > 0 && lost.length === asked && request.claim.limit === 0 && !request.leave)
      return { jobs: [], lost, cancel: [], interrupted: [] };

    const interrupted = recovered.workers.flatMap((worker) => this.#recover(worker, recovered.jobs));
    this.#follow(false);
    const taken = this.#claim(request.claim, known);
    for (const [index, job] of taken.jobs.entries())
      job.held = { worker: request.worker, token: `${request.exchange}.${index}`, alone: taken.alone };
    for (const job of taken.jobs) this.#placeNext(job);
    const idle = known.length + taken.jobs.length + interrupted.length + mine.length === 0;
    if (!idle)
      this.leases.set(request.worker, {
        number: request.exchange,
        leaseMs: request.leaseMs,
        renewed: this.monotonic,
      });
    this.#follow();
    return { jobs: taken.jobs, lost, cancel, interrupted };
  }

  /** It is in line where it was, with the seat in which it ran. */
  #giveBack(job: ModelJob): void {
    delete job.held;
    job.seated = true;
  }

  #settle(mine: readonly ModelJob[], { settle }: ExchangeRequest): string[] {
    const lost: string[] = [];
    const ends: End[] = [];
    for (const settlement of settle) {
      const job = mine.find(({ held }) => held?.token === settlement.token);
      if (!job?.held) {
        lost.push(settlement.token);
        continue;
      }
      const { cancel } = job.held;
      const trace = cancel !== "remove";
      switch (settlement.outcome) {
        case "completed":
        case "cancelled":
          ends.push({ job, state: settlement.outcome, counted: true, trace });
          break;
        case "failed": {
          const { code } = settlement.error;
          const exceptions = job.exceptions + (code === "timeout" ? 0 : 1);
          const spent = job.attempts + 1 >= job.maxAttempts || exceptions >= job.maxExceptions;
          if (cancel) ends.push({ job, state: "cancelled", counted: true, error: code, trace });
          else if (settlement.retryMs === undefined || spent)
            ends.push({ job, state: "failed", counted: true, error: code });
          else {
            this.#count(job, code);
            job.error = code;
            this.#stand(job, settlement.retryMs);
          }
          break;
        }
        case "released":
          if (cancel) ends.push({ job, state: "cancelled", trace });
          else if (settlement.delayMs > 0) this.#stand(job, settlement.delayMs);
          else this.#giveBack(job);
          break;
      }
      delete job.held;
    }
    this.#end(ends);
    return lost;
  }

  #recover(worker: string, stand: ExchangeReply["interrupted"]): ModelJob[] {
    this.leases.delete(worker);
    const jobs = this.jobs.filter((job) => job.held?.worker === worker);
    const cancelled = jobs.filter((job) => job.held?.cancel);
    this.#end(cancelled.map((job) => ({ job, state: "cancelled" as const, trace: job.held?.cancel !== "remove" })));
    // In the order in which they were claimed, which decides where two have to wait equally long.
    const rest = jobs.filter((job) => job.held).sort((a, b) => claimOrder(a) - claimOrder(b));
    const spent: ModelJob[] = [];
    for (const job of rest) {
      delete job.held;
      job.interruptions++;
      if (job.interruptions >= LIMIT_OF_INTERRUPTIONS) spent.push(job);
      else {
        const found = stand.find(({ queue, id }) => queue === job.queue && id === job.id);
        this.#stand(job, (found?.availableAt ?? this.now) - this.now);
      }
    }
    this.#end(spent.map((job) => ({ job, state: "failed" as const, error: "interrupted" })));
    return rest;
  }

  #claim(claim: ExchangeRequest["claim"], known: readonly ModelJob[]): { jobs: ModelJob[]; alone: boolean } {
    const jobs: ModelJob[] = [];
    let alone = false;
    let closed = known.some((job) => job.held?.alone);
    let barred = false;
    const done = () => closed || barred || jobs.length >= claim.limit;
    const take = (job: ModelJob, limited: boolean): boolean => {
      const ahead = jobs.length >= claim.limit - (claim.prefetch ?? 0);
      if (ahead && (limited || job.group !== undefined || job.interruptions >= 2)) {
        barred = true;
        return false;
      }
      if (job.interruptions >= 2) {
        closed = true;
        if (known.length + jobs.length > 0) return false;
        alone = true;
      }
      jobs.push(job);
      return true;
    };
    const left = () => (barred ? 0 : claim.limit - jobs.length);
    for (const request of claim.queues) this.#claimFrom(request, jobs, left, done, take);
    return { jobs, alone };
  }

  #claimFrom(
    { queue: name, limit = Number.POSITIVE_INFINITY, names }: ClaimQueue,
    taken: readonly ModelJob[],
    left: () => number,
    done: () => boolean,
    take: (job: ModelJob, limited: boolean) => boolean,
  ): void {
    const queue = this.queue(name);
    const limited = Boolean(queue.rateLimit || queue.maxActive || limit < Number.POSITIVE_INFINITY);
    if (queue.paused || limit === 0) return;
    const returned = new Map<string, number>();
    for (const job of this.jobs.filter(({ waitsFor }) => waitsFor === "name").sort(byPlace)) {
      const count = returned.get(job.name) ?? 0;
      if (job.queue !== name || names?.includes(job.name) === false || count >= Math.min(limit, left())) continue;
      returned.set(job.name, count + 1);
      this.#toReady(job);
    }
    this.#seat();
    if (done()) return;
    const running = this.jobs.filter((job) => job.queue === name && job.held).length;
    const slots = Math.min(limit, (queue.maxActive ?? Number.POSITIVE_INFINITY) - running);
    const tokens = this.#tokens(queue);
    const line = this.jobs
      .filter((job) => job.queue === name && job.place === "ready" && !job.held)
      .filter((job) => job.at <= this.now || !job.delayed)
      .sort(byPlace);
    const expired: ModelJob[] = [];
    const mine = new Map<string, number>();
    const aside: [ModelJob, "name" | "group"][] = [];
    const before = taken.length;
    for (const job of line) {
      if (done() || taken.length - before >= Math.min(slots, Math.floor(tokens))) break;
      const { group } = job;
      const fits = () => {
        if (group === undefined) return true;
        this.#adopt(job);
        return this.#running(name, group) + (mine.get(group) ?? 0) < this.#limit(name, group);
      };
      if (job.expiresAt !== undefined && job.expiresAt <= this.now) expired.push(job);
      else if (names && !names.includes(job.name)) aside.push([job, "name"]);
      else if (!fits()) aside.push([job, "group"]);
      else if (take(job, limited) && group !== undefined) mine.set(group, (mine.get(group) ?? 0) + 1);
    }
    const count = taken.length - before;
    if (queue.rateLimit) this.#started(queue, queue.rateLimit, count);
    this.#end(expired.map((job) => ({ job, state: "failed" as const, error: "expired" })));
    for (const [job, reason] of aside) this.#stepAside(job, reason);
  }

  /** At most `max` start in any interval of `per`; starts of a twentieth of it count until the last of them is old. */
  #tokens({ rateLimit, starts }: ModelQueue): number {
    if (!rateLimit) return Number.POSITIVE_INFINITY;
    const recent = starts.filter(({ last }) => Math.min(last, this.now) > this.now - rateLimit.perMs);
    return Math.max(0, rateLimit.max - recent.reduce((sum, { count }) => sum + count, 0));
  }

  #started(queue: ModelQueue, { perMs }: { perMs: number }, count: number): void {
    const { now } = this;
    if (count === 0 && !queue.starts.some(({ last }) => last > now)) return;
    queue.starts = queue.starts
      .map(({ first, last, count }) => ({ first: Math.min(first, now), last: Math.min(last, now), count }))
      .filter(({ last }) => last > now - perMs);
    const latest = queue.starts[queue.starts.length - 1];
    if (count === 0) return;
    if (latest && now - latest.first < perMs / 20) Object.assign(latest, { last: now, count: latest.count + count });
    else queue.starts.push({ first: now, last: now, count });
  }
}
