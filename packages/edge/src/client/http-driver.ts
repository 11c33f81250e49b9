import {
  type Clock,
  type Driver,
  type Duration,
  type JobCounts,
  type JobPage,
  type JobRecord,
  LIMITS,
  QuaysideError,
  type Schedule,
  systemClock,
  toMs,
} from "@quayside/core";
import {
  type Change,
  type Command,
  type CommandReply,
  checkName,
  checkPathName,
  type EnqueueReceipt,
  type ExchangeReply,
  type ExchangeRequest,
  type ListQuery,
  type NewJob,
  type NumberedRequest,
  type Registration,
} from "@quayside/core/engine";
import { allSchedules, withAllChildren } from "../rpc/reply-pages.ts";
import type { RecallingReply, RecallingRequest } from "../shards/exchange-parts.ts";
import { Outcomes, storedInPart } from "../shards/partial-outcomes.ts";
import { ChangeFeed } from "../streams/change-feed.ts";
import { Closable } from "./closable.ts";
import { type Fetch, HttpCaller, type SentToken, type Token } from "./http-caller.ts";
import { idempotencyKey, numberedHeaders, randomKey } from "./idempotency-key.ts";
import { bodiesOf, jobText, repositioned } from "./job-bodies.ts";
import { replyOf } from "./lost-exchange.ts";
import {
  isChildren,
  isCounts,
  isExchangeReply,
  isJob,
  isJobPage,
  isNextWake,
  isObject,
  isSchedules,
  receiptsFor,
} from "./response-checks.ts";
import { sendSafely } from "./send-safely.ts";
import { SplitExchange } from "./split-exchange.ts";

/** Options of `httpDriver`: where the API is, and how requests to it are made. */
export interface HttpDriverOptions {
  /** Where the queue API is mounted, e.g. `/api/queues` in a page or `https://app.example/api/queues`. */
  readonly url: string;
  /**
   * Sent as `Authorization: Bearer …`; a function is asked before every request, so it can renew a token. When the
   * server answers 401 it is asked once more, with the token that was refused, and the request sent again with the new one.
   * An add whose answer was lost is sent again with the token that it was sent with.
   * While nobody is signed in it answers nothing: requests then fail with `unauthorized` and are not sent.
   */
  readonly token?: Token;
  /** Default: the platform's. */
  readonly fetch?: Fetch;
  readonly clock?: Clock;
  /** How long a request may take, with its token and its answer, before it counts as failed (`network`). Default 30 s. */
  readonly timeout?: Duration;
  /** Queues to watch for changes besides those that this driver is used for. */
  readonly queues?: readonly string[];
}

/**
 * A driver over HTTP: queues of a remote `queueApi`, to add to and to work from anywhere that has `fetch`.
 *
 * @example
 * const queue = new Queue("mail", httpDriver({ url: "https://app.example/api/queues", token }), { jobs });
 */
export function httpDriver(options: HttpDriverOptions): HttpDriver {
  return new HttpDriver(options);
}

/**
 * Differs from a driver beside its store: each queue is an object of its own, so that `enqueue` is all or none
 * for each queue (and for each 1,000 jobs or 1 MiB of them), and a worker of several queues sends one request a queue.
 * Errors: the API's own with their code; `network` when a request or its answer was lost. An add goes under a key of its
 * own (`Idempotency-Key`), so it is sent once more by itself when its answer was lost.
 */
export class HttpDriver implements Driver {
  /** Where the API is mounted. */
  readonly url: string;
  readonly #http: HttpCaller;
  readonly #clock: Clock;
  readonly #feed: ChangeFeed;
  readonly #outcomes = new Outcomes();
  readonly #split: SplitExchange;
  readonly #life = new Closable();

  constructor(options: HttpDriverOptions) {
    const clock = options.clock ?? systemClock;
    this.#clock = clock;
    const { url } = options as { readonly url?: unknown };
    if (typeof url !== "string" || /[?#]/.test(url))
      throw new QuaysideError(
        "invalid_option",
        `url must say where the queue API is mounted, such as https://app.example/api/queues, got ${String(url)}.`,
        { option: "url" },
      );
    this.url = url.replace(/\/+$/, "");
    this.#http = new HttpCaller({
      url: this.url,
      // Called as a bare function: a browser's fetch refuses any other `this`.
      fetch: options.fetch ?? ((url, init) => fetch(url, init)),
      clock,
      timeoutMs: toMs(options.timeout ?? "30s", "timeout"),
      ...(options.token !== undefined && { token: options.token }),
    });
    this.#feed = new ChangeFeed({
      clock,
      shared: false,
      open: (signal, queue) => this.#http.stream(path(queue as string, "events"), signal),
    });
    for (const queue of options.queues ?? []) this.#feed.follow(queue);
    this.#split = new SplitExchange({
      clock,
      heard: (queue) => this.#feed.heard(queue),
      wake: (queue) => {
        for (const kind of ["cancel", "ready"] as const) this.#feed.tell({ queue, kind });
      },
      exchangeOne: (queue, request) => this.#exchangeOne(queue, request),
    });
  }

  async enqueue(jobs: readonly NewJob[], request?: NumberedRequest): Promise<readonly EnqueueReceipt[]> {
    if (request) checkName(request.sender, "sender");
    for (const { queue } of jobs) this.#feed.touch(queue);
    const known = request ? undefined : this.#outcomes.take(jobs);
    if (known) return known;
    const receipts = new Array<EnqueueReceipt>(jobs.length);
    const call = request ? undefined : randomKey();
    for (const [index, { queue, body, positions }] of bodiesOf(jobs).entries()) {
      const isAnswer = receiptsFor(positions.length);
      const send = (headers: Readonly<Record<string, string>>, sent?: SentToken) =>
        this.#call<readonly EnqueueReceipt[]>("POST", queue, "jobs", isAnswer, body, headers, sent).catch(
          (error: unknown) => {
            const moved = repositioned(error, positions);
            if (request) throw moved;
            throw this.#storedInPart(jobs, receipts, positions, moved);
          },
        );
      // Who numbers its requests sends them again by itself, when and as often as it sees fit.
      const answers = request
        ? await send(numberedHeaders(request, index))
        : await sendSafely(this.#clock, (sent) => send({ "idempotency-key": idempotencyKey(`${call}`, index) }, sent));
      for (const [index, position] of positions.entries()) receipts[position] = answers[index] as EnqueueReceipt;
    }
    return receipts;
  }

  /** The error, once it is noted for each job what became of it: of those in this request as its answer says. */
  #storedInPart(
    jobs: readonly NewJob[],
    receipts: EnqueueReceipt[],
    positions: readonly number[],
    error: unknown,
  ): unknown {
    const { stored = [], ids = [] } = (error instanceof QuaysideError ? error.details : {}) as Record<
      string,
      unknown[]
    >;
    for (const [at, index] of stored.entries()) {
      const position = positions[Number(index)];
      const id = ids[at];
      if (position !== undefined && typeof id === "string") receipts[position] = { id, deduplicated: false };
    }
    const errors = new Array<unknown>(jobs.length);
    for (const position of positions) errors[position] = error;
    this.#outcomes.note(jobs, receipts, errors);
    return storedInPart(error, Array.from(receipts));
  }

  async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    this.#feed.recognise(request);
    for (const { queue } of request.claim.queues) this.#feed.follow(queue);
    return this.#split.exchange(request);
  }

  async #exchangeOne(
    queue: string,
    { claim: { queues, ...claim }, liveness: _, ...rest }: RecallingRequest & { readonly only?: string },
  ): Promise<RecallingReply> {
    const names = queues[0]?.names;
    const body = { ...rest, claim: { ...claim, ...(names && { names }) } };
    // R9 does the rest on the server; on the way, others know a round that is sent again by its key.
    const { worker, exchange, only } = rest;
    const key = idempotencyKey(worker, exchange, queue, ...(only === undefined ? [] : [only]));
    const headers = { "idempotency-key": key };
    const text = JSON.stringify(body);
    const {
      settled: _settled,
      troubles: _troubles,
      ...reply
    }: RecallingReply = await this.#call<RecallingReply>(
      "POST",
      queue,
      "exchange",
      isExchangeReply,
      text,
      headers,
    ).catch(replyOf);
    return withAllChildren(reply, (of, id, after) =>
      this.#call("GET", of, `jobs/${idPart(id)}/children${queryOf({ after })}`, isChildren),
    );
  }

  async get(queue: string, id: string): Promise<JobRecord | undefined> {
    return this.#found(() => this.#call<JobRecord>("GET", queue, `jobs/${idPart(id)}`, isJob));
  }

  async list({ queue, positions: _, ...query }: ListQuery): Promise<JobPage> {
    return this.#call("GET", queue, `jobs${queryOf(query)}`, isJobPage);
  }

  async counts(queue: string): Promise<JobCounts> {
    return this.#call("GET", queue, "counts", isCounts);
  }

  async command(command: Command): Promise<CommandReply> {
    const { type, queue } = command;
    this.#feed.touch(queue);
    switch (type) {
      case "cancel":
      case "remove":
        return (await this.#found(() => this.#commandJob(command))) ?? { affected: 0 };
      case "retry":
      case "promote":
        return this.#commandJob(command);
      case "clear":
      case "retryAll": {
        const { type: _, queue: __, ...filter } = command;
        return this.#call("POST", queue, `${type === "clear" ? "clear" : "retry"}${queryOf(filter)}`, isObject);
      }
      case "update": {
        const { payload, sealed, priority, delayMs } = command;
        const rest = JSON.stringify({ sealed, priority, delay: delayMs });
        const members = [payload === undefined ? "" : `"payload":${payload}`, rest.slice(1, -1)].filter(Boolean);
        return this.#call("PATCH", queue, `jobs/${idPart(command.id)}`, isObject, `{${members.join(",")}}`);
      }
      case "schedule": {
        const body = `{"rule":${JSON.stringify(command.rule)},"job":${jobText(command.job)}}`;
        return this.#call("PUT", queue, `schedules/${part(command.key, "key")}`, isObject, body);
      }
      case "unschedule":
        return this.#call("DELETE", queue, `schedules/${part(command.key, "key")}`, isObject);
      case "pause":
      case "resume":
        return this.#call("POST", queue, type, isObject);
      case "configure": {
        const { type: _, queue: __, ...settings } = command;
        return this.#call("PATCH", queue, "settings", isObject, JSON.stringify(settings));
      }
    }
  }

  async schedules(queue: string): Promise<readonly Schedule[]> {
    return allSchedules((after) => this.#call("GET", queue, `schedules${queryOf({ after })}`, isSchedules));
  }

  async nextWake(queues: readonly string[]): Promise<number | undefined> {
    const answers = await Promise.all(
      queues.map((queue) => this.#call<{ readonly nextWakeMs: number | null }>("GET", queue, "next-wake", isNextWake)),
    );
    const wakes = answers.flatMap(({ nextWakeMs }) => nextWakeMs ?? []);
    return wakes.length > 0 ? Math.min(...wakes) : undefined;
  }

  watch(listener: (change: Change) => void, closed?: () => void): () => void {
    return this.#life.watch(closed, this.#feed.listen(listener));
  }

  enlist(): Promise<Registration> {
    return this.#life.enlist();
  }

  async close(): Promise<void> {
    this.#life.close();
    this.#split.close();
    this.#feed.close();
    this.#life.tell();
  }

  async #call<T>(
    method: string,
    queue: string,
    rest: string,
    isAnswer: (answer: unknown) => boolean,
    body?: string,
    headers?: Readonly<Record<string, string>>,
    sent?: SentToken,
  ): Promise<T> {
    this.#life.check();
    this.#feed.follow(queue);
    return this.#http.json<T>(method, path(queue, rest), isAnswer, body, headers, sent);
  }

  #commandJob({ type, queue, id }: Extract<Command, { readonly id: string }>): Promise<CommandReply> {
    const job = `jobs/${idPart(id)}`;
    return type === "remove"
      ? this.#call("DELETE", queue, job, isObject)
      : this.#call("POST", queue, `${job}/${type}`, isObject);
  }

  /** Undefined where the API says that there is no such job. */
  async #found<T>(call: () => Promise<T>): Promise<T | undefined> {
    try {
      return await call();
    } catch (error) {
      if (error instanceof QuaysideError && error.code === "job_not_found") return undefined;
      throw error;
    }
  }
}

const path = (queue: string, rest: string): string => `/${part(queue, "queue")}/${rest}`;

/** A name as a part of a path; others than core allows cannot stand in a URL, or name something else there. */
const part = (name: string, option: string): string => encodeURIComponent(checkPathName(name, option));
/** An id of any length may be asked for; one that no address can spell, or that leads elsewhere, is refused. */
const idPart = (id: string): string =>
  id.length > LIMITS.nameLength && id.isWellFormed() ? encodeURIComponent(id) : part(id, "id");

function queryOf(values: Readonly<Record<string, string | number | readonly string[] | undefined>>): string {
  const present = Object.entries(values).flatMap(([name, value]) => {
    if (value === undefined) return [];
    return typeof value === "object" ? value.map((item) => [name, item]) : [[name, `${value}`]];
  });
  return present.length > 0 ? `?${new URLSearchParams(present)}` : "";
}
