import type { ClaimedJob, ClaimQueue, ExchangeReply, ExchangeRequest } from "../../engine/verbs.ts";
import type { ErrorCode } from "../../job/errors.ts";

/**
 * A worker's exchange over several objects, each of which mints its own tokens: how it is cut into a part for each object
 * and how their replies become one. A token is given the name of its object (its *place*) on the way to the worker and
 * loses it on the way back.
 */

/** The state that a worker keeps for a store between its exchanges, for a driver that is made for each one. */
export interface Recall {
  /** A text of the last reply, to be sent with the next exchange. */
  readonly memo?: string;
  /** An exchange of this number was sent before. */
  readonly again?: boolean;
  /** A stream of changes was open since the last exchange and named no change of the queue. */
  readonly quiet?: boolean;
  /** Places that the worker asks apart from the others; given, it takes a reply that names more of them: `late`. */
  readonly apart?: readonly string[];
}

/** A place that did not answer an exchange, or not in time. */
export interface Late {
  readonly place: string;
  /** Under which errors name it: with `queue`, `details.queue` is the place. */
  readonly kind: string;
  readonly code: ErrorCode;
  readonly message: string;
  /** A job of this place runs alone, or waits to. */
  readonly alone?: true;
  /** The error itself, in the process that met it. */
  readonly error?: unknown;
}

/** An exchange of a worker over several places. */
export type RecallingRequest = ExchangeRequest & Recall;
/** A reply to a `RecallingRequest`. */
export type RecallingReply = ExchangeReply & {
  readonly memo?: string;
  /** Places of which nothing is known after this exchange: the worker asks them again, apart from the others. */
  readonly late?: readonly Late[];
};

/** The part of an exchange for one place. */
export interface Part {
  readonly place: string;
  /** Tokens of what runs there. */
  readonly running: readonly string[];
  /** There is more to say than a claim. */
  readonly needed: boolean;
  /** The request for this place, but for its claim. */
  readonly send: Omit<ExchangeRequest, "claim">;
  /** How the worker calls the tokens that are sent. */
  readonly sent: ReadonlyMap<string, string>;
}

/** Returns the part of an exchange for one place. `home` returns the place of a token. */
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

/** Whether the place may hold something for the worker after this reply. */
export function holdsAfter({ running }: Part, reply: ExchangeReply): boolean {
  const lost = new Set(reply.lost);
  return reply.jobs.length > 0 || running.some((token) => !lost.has(token)) || openTokens(reply.settled).length > 0;
}

/** Tokens of settlements that a part of the place has not answered. */
export const openTokens = (settled: ExchangeReply["settled"]): readonly string[] =>
  [...(settled ?? [])].flatMap(([token, stored]) => (stored === null ? [token] : []));

/** Returns whether the worker runs anything besides the jobs of `part`: a job that must be alone waits for that. */
export const isBusyElsewhere = (
  request: ExchangeRequest,
  part: Part,
  taken: readonly { readonly jobs: readonly unknown[] }[],
): boolean =>
  request.claim.busy === true ||
  request.running.length > part.running.length ||
  taken.some(({ jobs }) => jobs.length > 0);

/** The queues of a claim with what is left of each queue's own limit after these jobs. */
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

/** Returns how many jobs are left to claim after a reply to a claim of `limit`, its last `prefetch` for later. */
export function leftAfter(
  { limit, prefetch = 0 }: Pick<ExchangeRequest["claim"], "limit" | "prefetch">,
  { jobs, alone, nextWakeMs }: ExchangeReply,
): number {
  if (alone) return 0;
  const left = limit - jobs.length;
  // A job that may not be held ahead is the next to start: nothing is taken ahead of it from elsewhere (R18).
  return nextWakeMs === 0 && left <= prefetch ? 0 : left;
}

const nameToken = (place: string, token: string): string => `${encodeURIComponent(place)}:${token}`;
const bareToken = (token: string): string => token.slice(token.indexOf(":") + 1);

/** The place in a token's name; undefined where it has none. */
export function placeOfToken(token: string): string | undefined {
  const end = token.indexOf(":");
  if (end < 0) return undefined;
  try {
    return decodeURIComponent(token.slice(0, end));
  } catch {
    // It is no name that was given to a place: the token is lost wherever it is asked for.
    return undefined;
  }
}

/** The number of a place in a token's name. A token without one is of the first: its queue lay in one place when it was claimed. */
export const homeOfToken = (token: string): string => {
  const place = placeOfToken(token);
  return place !== undefined && /^\d{1,4}$/.test(place) ? place : "0";
};

/** A reply in the words of the worker. A token that it sent comes back as it sent it. */
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

/** @param nowhere tokens that belong to no place: what a worker says it holds in none is lost. */
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
