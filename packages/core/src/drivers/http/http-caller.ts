import type { Clock } from "../../engine/clock.ts";
import { checkProtocol, PROTOCOL, PROTOCOL_HEADER } from "../../engine/protocol.ts";
import { type ErrorCode, hasCode, isA, messageOf, QuaysideError } from "../../job/errors.ts";
import { retryAfterMs } from "../../job/retry.ts";
import { isObject } from "./response-checks.ts";

/** The part of `fetch` that is used, so that anything like it will do (a Worker's service binding, Hono's `request`). */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

type MaybeToken = string | null | undefined;

/**
 * A bearer token, or a function that answers it: called before every request, and once more when the server refused what
 * it said. While no person is signed in it answers nothing; then the request is not sent and fails with `unauthorized`.
 */
export type Token = string | ((refused?: string) => MaybeToken | Promise<MaybeToken>);

export interface HttpCallerOptions {
  readonly url: string;
  readonly token?: Token;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** The token with which a request was sent first: it is sent again with no other, which may be another person's. */
export interface SentToken {
  shown?: string;
}

/** Longest answer that is read. The API's own end at 8 MiB; anything far longer is not from it. */
const LONGEST_BODY = 64 * 1024 * 1024;
/** Longest body of an error. */
const LONGEST_PROBLEM = 1024 * 1024;

/** Speaks HTTP with the API: sends the token, turns every failure into a `QuaysideError`. */
export class HttpCaller {
  readonly #options: HttpCallerOptions;

  constructor(options: HttpCallerOptions) {
    this.#options = options;
  }

  /**
   * Sends `body` (JSON text) and answers the parsed answer. The timeout covers all of it: the token, the request, and the
   * answer to its last byte.
   *
   * @param isAnswer whether a value is what the API answers here. Anything else comes from something on the way.
   * @param sent the same object for each send of one request.
   */
  json<T>(
    method: string,
    path: string,
    isAnswer: (answer: unknown) => boolean,
    body?: string,
    headers?: Readonly<Record<string, string>>,
    sent?: SentToken,
  ): Promise<T> {
    return this.#within(this.#name(method, path), async (what, signal) => {
      const response = await this.#send(what, method, path, signal, body, headers, sent);
      const text = await textOf(response, LONGEST_BODY).catch((cause: unknown) => {
        throw network(`${what}: the connection broke during the answer.`, {}, cause);
      });
      const answer = text === undefined ? undefined : parse(text);
      if (isAnswer(answer)) return answer as T;
      const said = { status: response.status, bare: true };
      throw network(`${what} was answered ${describe(response)}, not by a queue API: is its URL right?`, said);
    });
  }

  /** Opens a stream of server-sent events, for as long as `signal` lets it. */
  stream(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    return this.#within(
      this.#name("GET", path),
      async (what, opening) => {
        const response = await this.#send(what, "GET", path, opening);
        if (response.body && mediaType(response) === "text/event-stream") return response.body;
        discard(response);
        throw network(`${what} was answered ${describe(response)}, not by a stream of events: is its URL right?`);
      },
      signal,
    );
  }

  #name(method: string, path: string): string {
    return `${method} ${this.#options.url}${path}`;
  }

  /** Fails when the time is over, whether or not what `run` waits for listens to the signal. */
  #within<T>(what: string, run: (what: string, signal: AbortSignal) => Promise<T>, outer?: AbortSignal): Promise<T> {
    const { clock, timeoutMs } = this.#options;
    const controller = new AbortController();
    const abort = () => controller.abort();
    if (outer?.aborted) abort();
    outer?.addEventListener("abort", abort, { once: true });
    return new Promise<T>((resolve, reject) => {
      const cancel = clock.after(timeoutMs, () => {
        reject(network(`${what} took longer than ${timeoutMs} ms.`));
        abort();
      });
      run(what, controller.signal).then(resolve, reject).finally(cancel);
    });
  }

  async #send(
    what: string,
    method: string,
    path: string,
    signal: AbortSignal,
    body?: string,
    extra?: Readonly<Record<string, string>>,
    sent: SentToken = {},
  ): Promise<Response> {
    const { url, token, fetch, clock } = this.#options;
    const headers: Record<string, string> = {
      accept: "application/json, text/event-stream",
      [PROTOCOL_HEADER]: `${PROTOCOL}`,
      ...extra,
    };
    if (body !== undefined) headers["content-type"] = "application/json";
    const send = async (shown: string | undefined): Promise<Response> => {
      // The time was over while the token was fetched: its caller has an error that says that nothing was sent.
      if (signal.aborted) throw network(`${what} was not sent in time.`);
      if (shown !== undefined) {
        headers["authorization"] = `Bearer ${shown}`;
        sent.shown = shown;
      }
      try {
        return await fetch(`${url}${path}`, { method, headers, signal, ...(body !== undefined && { body }) });
      } catch (cause) {
        throw network(`${what} did not get through${reasonOf(cause)}. ${HINT}`, {}, cause);
      }
    };
    const isRepeat = sent.shown !== undefined;
    const shown = sent.shown ?? (token === undefined ? undefined : await tokenFrom(token));
    let response = await send(shown);
    if (response.status === 401 && typeof token === "function" && !isRepeat) {
      // It may have run out on the way, or hours ago: a fresh one gets one more chance. Nothing was done with the first.
      const fresh = await tokenFrom(token, shown);
      if (fresh !== shown) {
        discard(response);
        response = await send(fresh);
      }
    }
    try {
      checkProtocol("answer", response.headers.get(PROTOCOL_HEADER));
    } catch (error) {
      discard(response);
      throw error;
    }
    if (!response.ok) throw await failureOf(what, response, clock.now(), token !== undefined);
    return response;
  }
}

const HINT = "Is its URL right, does the server run, and does it let this page in (cors)?";

/** Returns the reason that `fetch` gives. Node puts it into the error's cause. */
export function reasonOf(cause: unknown): string {
  const said = [cause, (cause as { readonly cause?: unknown } | undefined)?.cause].filter((error) => isA(Error, error));
  return said.length > 0 ? ` (${said.map(messageOf).join(": ")})` : "";
}

/** Returns the error of a request that did not get an answer of the API. */
export const network = (message: string, details: Readonly<Record<string, unknown>> = {}, cause?: unknown) =>
  new QuaysideError("network", message, details, cause);

/** Its body is not read: the connection is free for the next request. */
const discard = (response: Response): void => void response.body?.cancel().catch(() => {});

/**
 * @throws {QuaysideError} `unauthorized` when there is none that a header can carry; `network` when the function failed,
 * unless it said `unauthorized` itself.
 */
async function tokenFrom(token: Token, refused?: string): Promise<string> {
  let shown: unknown = token;
  if (typeof token === "function") {
    try {
      shown = await token(...(refused === undefined ? [] : [refused]));
    } catch (cause) {
      if (hasCode(cause, "unauthorized")) throw cause;
      throw network(`The token function failed: ${messageOf(cause)}`, { reason: "token" }, cause);
    }
  }
  const text = typeof shown === "string" ? shown.trim() : "";
  if (/^[\x20-\x7e]+$/.test(text)) return text;
  const fault =
    text === "" ? "There is no token: nobody is signed in." : "The token holds characters that no header takes.";
  throw new QuaysideError("unauthorized", fault, { reason: "token", bare: true });
}

/** The body's text; undefined when it is longer than `limit` bytes. */
async function textOf(response: Response, limit: number): Promise<string | undefined> {
  // Not every platform that has `fetch` has streams.
  if (!response.body) return response.text();
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (let bytes = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.length;
    if (bytes > limit) {
      reader.cancel().catch(() => {});
      return undefined;
    }
    text += decoder.decode(value, { stream: true });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A server that asks for more is asked again after a day: its clock, or what it says, may be wrong. */
const LONGEST_WAIT_MS = 86_400_000;

const mediaType = (response: Response): string =>
  (response.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";

/** `200 (text/html, from https://login.example/)`: what a person needs to see who answered. */
function describe(response: Response): string {
  const type = mediaType(response) || "no content type";
  return `${response.status} (${type}${response.redirected ? `, from ${response.url}` : ""})`;
}

/**
 * The error that a failed answer tells of. It is the API's own word if it is problem details, by media type and `code`;
 * otherwise it comes from something on the way, or may: `details.bare`. `details.retryAfterMs` is what was asked for.
 */
async function failureOf(what: string, response: Response, now: number, hasToken: boolean): Promise<QuaysideError> {
  const text = await textOf(response, LONGEST_PROBLEM).catch(() => undefined);
  const problem = text === undefined ? undefined : parse(text);
  const { status, headers } = response;
  // A date is of the server's clock; this one may be fast or slow.
  const sentAt = Date.parse(headers.get("date") ?? "");
  const asked = retryAfterMs(headers.get("retry-after"), Number.isNaN(sentAt) ? now : sentAt);
  const { code, detail, errors, details } = (isObject(problem) ? problem : {}) as Readonly<Record<string, unknown>>;
  const more = typeof code === "string" && isObject(details) ? details : {};
  // The details may say to the millisecond what the header says in whole seconds.
  const exact = more["retryAfterMs"];
  const wait = typeof exact === "number" && exact >= 0 ? exact : asked;
  const waitMs = wait === undefined ? undefined : Math.min(wait, LONGEST_WAIT_MS);
  const own = mediaType(response) === "application/problem+json" && typeof code === "string";
  const { retryAfterMs: _, bare: __, ...rest } = more;
  const said = { ...rest, status, ...(waitMs !== undefined && { retryAfterMs: waitMs }), ...(!own && { bare: true }) };
  if (typeof code !== "string") {
    return new QuaysideError(
      codeOf(status),
      `${what} was answered ${describe(response)}, not by a queue API: is its URL right?`,
      said,
    );
  }
  const hint =
    code === "route_not_found"
      ? ` Is the driver's URL right? It sent ${what}.`
      : code === "unauthorized" && !hasToken
        ? " The driver was made without a token."
        : "";
  const message = `${typeof detail === "string" ? detail : code}${hint}`;
  // The server's driver is closed, not this one: it will be there again.
  if (code === "closed") return network(message, said);
  return new QuaysideError(code as ErrorCode, message, { ...said, ...(Array.isArray(errors) && { errors }) });
}

/** Returns the code for an answer that has a status alone. It says whether another try may help. */
function codeOf(status: number): ErrorCode {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 413) return "too_large";
  return status >= 400 && status < 500 && status !== 408 && status !== 429 ? "bad_request" : "network";
}
