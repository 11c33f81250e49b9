import type { ClaimedJob, ClaimQueue, ExchangeReply, ExchangeRequest } from "../../engine/verbs.ts";
import type { ErrorCode } from "../../job/errors.ts";

/**
 * Divides a worker's exchange over several objects (*places*) into one part per object, and merges their replies. Each
 * object creates its own tokens; the worker receives them prefixed with the object's name.
 */

/** State of an exchange that its worker keeps, for a driver that exists only for one exchange. */
export interface Recall {
  /** Text that the driver put into its last reply. The worker sends it with the next exchange. */
  readonly memo?: string | undefined;
  /** Set if this exchange is a repeat. */
  readonly again?: boolean | undefined;
  /** Set if a stream of changes was open since the last exchange and reported no change of the queue. */
  readonly quiet?: boolean | undefined;
  /** Shards or queues that the worker asks separately. If set, the reply may name further slow ones in `late`. */
  readonly apart?: readonly string[] | undefined;
}

/** A shard or queue that failed, or did not answer an exchange in time. */
export interface Late {
  readonly place: string;
  /** The kind of the shard or queue, such as `queue`: errors then name it in `details.queue`. */
  readonly kind: string;
  readonly code: ErrorCode;
  readonly message: string;
  /** Set if an isolated job of this shard or queue runs or waits to run. */
  readonly alone?: true | undefined;
  /** The error itself, if it occurred in this process. */
  readonly error?: unknown;
}

/** The request of an exchange over several shards or queues. */
export type RecallingRequest = ExchangeRequest & Recall;
/** A reply to a `RecallingRequest`. */
export type RecallingReply = ExchangeReply & {
  readonly memo?: string | undefined;
  /** Shards or queues that did not answer this exchange. The worker asks them again separately. */
  readonly late?: readonly Late[] | undefined;
};

/** The part of an exchange for one shard or queue. */
export interface Part {
  readonly place: string;
  /** Tokens of the running jobs of this shard or queue. */
  readonly running: readonly string[];
  /** Whether the part must be sent even without a claim: it settles, renews or reports something. */
  readonly needed: boolean;
  /** The request for this shard or queue, without a claim. */
  readonly send: Omit<ExchangeRequest, "claim">;
  /** The token in the worker's form, by each token that is sent to the shard or queue. */
  readonly sent: ReadonlyMap<string, string>;
}

/** Returns the part of an exchange for one shard or queue (`place`). `home` returns the shard or queue of a token. */
export function partFor(
  { claim: _, ...request }: ExchangeRequest,
  place: string,
  home: (token: string) => string | undefined,
): Part {
  const settle = request.settle.filter(({ token }) => home(token) === place);
  const running = request.running.filter((token) => home(token) === place);
  const progress = request.progress?.filter(({ token }) => home(token) === place);
  return {
    place,
    running,
    needed: settle.length > 0 || running.length > 0,
    sent: new Map([...settle.map(({ token }) => token), ...running].map((token) => [bareToken(token), token])),
    send: {
      ...request,
      settle: settle.map((settlement) => ({ ...settlement, token: bareToken(settlement.token) })),
      running: running.map(bareToken),
      ...(progress && { progress: progress.map((report) => ({ ...report, token: bareToken(report.token) })) }),
    },
  };
}

/** Returns whether the shard or queue may hold jobs of the worker after this reply. */
export function holdsAfter({ running }: Part, reply: ExchangeReply): boolean {
  const lost = new Set(reply.lost);
  return reply.jobs.length > 0 || running.some((token) => !lost.has(token)) || openTokens(reply.settled).length > 0;
}

/** Returns the tokens of settlements that a shard of the queue has not answered yet. */
export const openTokens = (settled: ExchangeReply["settled"]): readonly string[] =>
  [...(settled ?? [])].flatMap(([token, stored]) => (stored === null ? [token] : []));

/**
 * Returns whether the worker runs jobs of other shards or queues than that of `part`. An isolated job waits for them.
 */
export const isBusyElsewhere = (
  request: ExchangeRequest,
  part: Part,
  taken: readonly { readonly jobs: readonly unknown[] }[],
): boolean =>
  request.claim.busy === true ||
  request.running.length > part.running.length ||
  taken.some(({ jobs }) => jobs.length > 0);

/** Returns the queues of a claim; the limit of each is reduced by the jobs that `taken` has claimed from it. */
export function queuesLeft(
  queues: readonly ClaimQueue[],
  taken: readonly Pick<ExchangeReply, "jobs">[],
): readonly ClaimQueue[] {
  if (taken.length === 0 || queues.every(({ limit }) => limit === undefined)) return queues;
  return queues.map((claim) => {
    if (claim.limit === undefined) return claim;
    const count = taken.reduce((sum, { jobs }) => sum + jobs.filter(({ job }) => job.queue === claim.queue).length, 0);
    return { ...claim, limit: Math.max(0, claim.limit - count) };
  });
}

/**
 * Returns how many jobs are left to claim after a reply to a claim of `limit`, of which the last `prefetch` are claimed
 * ahead.
 */
export function leftAfter(
  { limit, prefetch = 0 }: Pick<ExchangeRequest["claim"], "limit" | "prefetch">,
  { jobs, alone, nextWakeMs }: ExchangeReply,
): number {
  if (alone) return 0;
  const left = limit - jobs.length;
  // A job that may not be claimed ahead is the next to start, so no other place is asked for jobs ahead of it (R18).
  return nextWakeMs === 0 && left <= prefetch ? 0 : left;
}

const nameToken = (place: string, token: string): string => `${encodeURIComponent(place)}:${token}`;
const bareToken = (token: string): string => token.slice(token.indexOf(":") + 1);

/** Returns the shard or queue that a token's prefix names; undefined for a token without a prefix. */
export function placeOfToken(token: string): string | undefined {
  const end = token.indexOf(":");
  if (end < 0) return undefined;
  try {
    return decodeURIComponent(token.slice(0, end));
  } catch {
    // Not the prefix of any place: the token is lost.
    return undefined;
  }
}

/**
 * Returns the number of the shard that a token's prefix names. A token without a prefix is of the first shard: its
 * queue was not split yet when the job was claimed.
 */
export const homeOfToken = (token: string): string => {
  const place = placeOfToken(token);
  return place !== undefined && /^\d{1,4}$/.test(place) ? place : "0";
};

/**
 * Returns a reply of one shard or queue with the tokens in the worker's form, which have a prefix. Tokens that the
 * worker has sent get the form in which it sent them.
 */
export function named({ place, sent }: Part, reply: ExchangeReply): ExchangeReply {
  const own = (token: string) => sent.get(token) ?? nameToken(place, token);
  return {
    ...reply,
    jobs: reply.jobs.map((claimed): ClaimedJob => ({ ...claimed, token: nameToken(place, claimed.token) })),
    lost: reply.lost.map(own),
    cancel: reply.cancel.map(own),
    ...(reply.settled && { settled: new Map([...reply.settled].map(([token, how]) => [own(token), how])) }),
  };
}

/**
 * Merges the replies of several shards or queues into one.
 *
 * @param nowhere tokens that belong to no shard or queue, so that they are lost.
 */
export function merge(
  { exchange }: ExchangeRequest,
  replies: readonly ExchangeReply[],
  nowhere: readonly string[] = [],
): ExchangeReply {
  const wakes = replies.flatMap(({ nextWakeMs }) => nextWakeMs ?? []);
  const unknown = replies.flatMap((reply) => reply.unknown);
  const troubles = replies.flatMap((reply) => reply.troubles ?? []);
  const settled = new Map(replies.flatMap((reply) => [...(reply.settled ?? [])]));
  return {
    exchange,
    jobs: replies.flatMap(({ jobs }) => jobs),
    lost: [...replies.flatMap(({ lost }) => lost), ...nowhere],
    cancel: replies.flatMap(({ cancel }) => cancel),
    interrupted: replies.flatMap(({ interrupted }) => interrupted),
    unknown: [...new Map(unknown.map((one) => [JSON.stringify([one.queue, one.name]), one])).values()],
    ...(replies.some(({ alone }) => alone) && { alone: true }),
    ...(replies.length > 0 && replies.every(({ futile }) => futile) && { futile: true }),
    ...(troubles.length > 0 && { troubles }),
    ...(settled.size > 0 && { settled }),
    ...(wakes.length > 0 && { nextWakeMs: Math.min(...wakes) }),
  };
}
