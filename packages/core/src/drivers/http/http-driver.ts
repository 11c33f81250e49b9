import { type Clock, systemClock } from "../../engine/clock.ts";
import { alwaysActive, type Driver, type Registration, type WorkerSession } from "../../engine/driver.ts";
import type { Change } from "../../engine/store.ts";
import type {
  Command,
  CommandReply,
  EnqueueReceipt,
  ExchangeReply,
  ExchangeRequest,
  JobCounts,
  JobPage,
  ListQuery,
  NumberedRequest,
  Schedule,
} from "../../engine/verbs.ts";
import type { Duration } from "../../job/duration.ts";
import { QuaysideError, refused } from "../../job/errors.ts";
import { checkName } from "../../job/job-keys.ts";
import type { JobRecord } from "../../job/job-record.ts";
import type { NewJob } from "../../job/new-job.ts";
import { able, callable, fields, list, positiveMs } from "../../job/option-checks.ts";
import { ChangeFeed } from "../remote/change-feed.ts";
import { Closable } from "../remote/closable.ts";
import { Outcomes, storedInPart } from "../remote/partial-outcomes.ts";
import { allSchedules } from "../remote/reply-pages.ts";
import { type Fetch, HttpCaller, network, reasonOf, type SentToken, type Token } from "./http-caller.ts";
import { idempotencyKey, numberedHeaders, randomKey } from "./idempotency-key.ts";
import { bodiesOf, jobText, optionsText, repositioned } from "./job-bodies.ts";
import { ifFound, jobReads } from "./job-reads.ts";
import { idPart, part, path, queryOf } from "./paths.ts";
import type { QueueExchange } from "./queue-exchange.ts";
import { isCounts, isJobPage, isNextWake, isObject, isSchedules, receiptsFor } from "./response-checks.ts";
import { sendSafely } from "./send-safely.ts";

/** Options of `httpDriver`: where the API is, and how requests to it are made. */
export interface HttpDriverOptions {
  /** URL at which the queue API is mounted: `/api/queues` in a page, or `https://app.example/api/queues`. */
  readonly url: string;
  /**
   * Token sent as `Authorization: Bearer …`. A function is called before every request, so that it can renew the token.
   * After a 401 it is called once more, with the refused token, and the request is repeated with the new one. An add
   * whose answer was lost is repeated with the same token. If the function returns nothing, no user is signed in:
   * requests are not sent and fail with `unauthorized`. Default: none.
   */
  readonly token?: Token | undefined;
  /** The `fetch` that sends the requests. Default: the platform's. */
  readonly fetch?: Fetch | undefined;
  /** The clock for timeouts and reconnects. Default: the system clock. */
  readonly clock?: Clock | undefined;
  /** Longest time of a request and its response, after which it fails with `network`. Default: 30 s. */
  readonly timeout?: Duration | undefined;
  /**
   * Queues whose changes are watched from the start, in addition to those for which the driver is used. Default: none.
   */
  readonly queues?: readonly string[] | undefined;
}

const OPTIONS = "url token fetch clock timeout queues".split(" ");

/**
 * Creates a driver that reaches the queues of a `queueApi` over HTTP, to add and work jobs from any platform with
 * `fetch`.
 *
 * @example
 * const queue = new Queue("mail", httpDriver({ url: "https://app.example/api/queues", token }), { jobs });
 */
export function httpDriver(options: HttpDriverOptions): HttpDriver {
  return new HttpDriver(options);
}

/**
 * A driver over HTTP. Each queue is a Durable Object of its own: `enqueue` is all or none per queue (and per 1,000 jobs
 * or 1 MiB), and a worker of several queues sends one request per queue. Rejects with the API's error codes, or with
 * `network` if a request or its response was lost. Adds have an `Idempotency-Key` and are repeated once if the response
 * was lost.
 */
export class HttpDriver implements Driver {
  readonly connectivity = undefined;
  /** The API's URL. */
  readonly url: string;
  readonly #http: HttpCaller;
  readonly #clock: Clock;
  readonly #feed: ChangeFeed;
  readonly #outcomes = new Outcomes();
  readonly #read: ReturnType<typeof jobReads>;
  #exchanges: Promise<QueueExchange> | undefined;
  readonly #life = new Closable();

  constructor(options: HttpDriverOptions) {
    const { url, token, fetch, clock = systemClock, timeout, queues = [] } = fields(options, "options", OPTIONS);
    this.#clock = clock;
    if (typeof url !== "string" || /[?#]/.test(url))
      throw refused("url", "must say where the queue API is mounted, such as https://app.example/api/queues", url);
    this.url = url.replace(/\/+$/, "");
    if (token !== undefined && typeof token !== "string" && typeof token !== "function")
      throw refused("token", "must be a string or a function", token);
    if (fetch !== undefined) callable(fetch, "fetch");
    able(clock, "clock", "after");
    this.#http = new HttpCaller({
      url: this.url,
      // Called as a plain function, because browsers refuse another `this` for `fetch`.
      fetch: fetch ?? ((url, init) => globalThis.fetch(url, init)),
      clock,
      timeoutMs: positiveMs(timeout ?? "30s", "timeout"),
      ...(token !== undefined && { token }),
    });
    this.#read = jobReads(clock, (...call) => this.#call(...call));
    this.#feed = new ChangeFeed({
      clock,
      shared: false,
      open: (signal, queue) => this.#http.stream(path(queue as string, "events"), signal),
    });
    for (const queue of list(queues, "queues")) this.#feed.follow(checkName(queue, "queues"));
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
      // A caller that numbers its requests repeats them itself.
      const answers = request
        ? await send(numberedHeaders(request, index))
        : await sendSafely(this.#clock, (sent) => send({ "idempotency-key": idempotencyKey(`${call}`, index) }, sent));
      for (const [index, position] of positions.entries()) receipts[position] = answers[index] as EnqueueReceipt;
    }
    return receipts;
  }

  /** Records which jobs of a failed call were stored, and returns the error with that list. */
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
    const exchanges = await this.#load();
    this.#life.check();
    const reply = await exchanges.exchange(request);
    // The driver was closed meanwhile; the reply's jobs could not be settled.
    this.#life.check();
    return reply;
  }

  /** Loads the code that makes exchanges, at its first use. After a failure, the next call tries again. */
  #load(): Promise<QueueExchange> {
    this.#exchanges ??= import("./queue-exchange.ts").then(
      ({ QueueExchange }) => new QueueExchange(this.#clock, this.#feed, (...call) => this.#call(...call)),
      (cause: unknown) => {
        this.#exchanges = undefined;
        throw network(`The code for workers could not be loaded${reasonOf(cause)}.`, {}, cause);
      },
    );
    return this.#exchanges;
  }

  async get(queue: string, id: string): Promise<JobRecord | undefined> {
    idPart(id);
    return this.#read(queue, id);
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
        return (await ifFound(this.#commandJob(command))) ?? { affected: 0 };
      case "retry":
      case "promote":
        return this.#commandJob(command);
      case "clear":
      case "retryAll": {
        const { type: _, queue: __, olderThanMs: olderThan, ...filter } = command;
        const query = queryOf({ ...filter, olderThan });
        return this.#call("POST", queue, `${type === "clear" ? "clear" : "retry"}${query}`, isObject);
      }
      case "update": {
        const { payload, sealed, priority, delayMs } = command;
        const rest = optionsText({ sealed, priority, delayMs });
        const members = [payload === undefined ? "" : `"payload":${payload}`, rest.slice(1, -1)].filter(Boolean);
        return this.#call("PATCH", queue, `jobs/${idPart(command.id)}`, isObject, `{${members.join(",")}}`);
      }
      case "schedule": {
        const { kind: _, ...rule } = command.rule;
        const body = `{"rule":${optionsText(rule)},"job":${jobText(command.job)}}`;
        return this.#call("PUT", queue, `schedules/${part(command.key, "key")}`, isObject, body);
      }
      case "unschedule":
        return this.#call("DELETE", queue, `schedules/${part(command.key, "key")}`, isObject);
      case "pause":
      case "resume":
        return this.#call("POST", queue, type, isObject);
      case "configure": {
        const { type: _, queue: __, ...settings } = command;
        return this.#call("PATCH", queue, "settings", isObject, optionsText(settings));
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

  onActiveChange(session: WorkerSession): () => void {
    return alwaysActive(session);
  }

  register(): Promise<Registration> {
    // Loads the code early, for the worker's first exchange, which reports a failure.
    this.#load().catch(() => {});
    return this.#life.register();
  }

  async close(): Promise<void> {
    this.#life.close();
    void this.#exchanges?.then(
      (exchanges) => exchanges.close(),
      () => {},
    );
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
}
