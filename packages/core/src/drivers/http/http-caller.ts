import type { Clock } from "../../engine/clock.ts";
import { checkProtocol, PROTOCOL, PROTOCOL_HEADER } from "../../engine/protocol.ts";
import { type ErrorCode, isA, isQuaysideError, messageOf, QuaysideError } from "../../job/errors.ts";
import { retryAfterMs } from "../../job/retry.ts";
import { isObject } from "./response-checks.ts";

/** The part of `fetch` that is used. A Worker's service binding or Hono's `request` can replace it. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

type MaybeToken = string | null | undefined;

/**
 * A bearer token, or a function that returns it. The function is called before every request. If the server refuses the
 * token, the function is called once more, with the refused token. If it returns nothing, because no user is signed in,
 * the request is not sent and fails with `unauthorized`.
 */
export type Token = string | ((refused?: string) => MaybeToken | Promise<MaybeToken>);

/** Sends one request about a queue to the API, checks the answer and returns it: see `HttpCaller.json`. */
export type ApiCall = <T>(
  method: string,
  queue: string,
  rest: string,
  isAnswer: (answer: unknown) => boolean,
  body?: string,
  headers?: Readonly<Record<string, string>>,
) => Promise<T>;

export interface HttpCallerOptions {
  readonly url: string;
  readonly token?: Token | undefined;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/**
 * The token with which a request was first sent. Repeats use the same token, because another may belong to another
 * user.
 */
export interface SentToken {
  shown?: string | undefined;
}

/** Maximum number of bytes read of a response. The API's own responses have at most 8 MiB. */
const LONGEST_BODY = 64 * 1024 * 1024;
/** Maximum number of bytes read of an error response. */
const LONGEST_PROBLEM = 1024 * 1024;

/** Sends HTTP requests to the API: adds the token and converts failures to `QuaysideError`. */
export class HttpCaller {
  readonly #options: HttpCallerOptions;

  constructor(options: HttpCallerOptions) {
    this.#options = options;
  }

  /**
   * Sends `body` (JSON text) and returns the parsed response. The timeout includes getting the token, the request and
   * the whole response.
   *
   * @param isAnswer returns whether a value is a valid response of the API; an invalid one comes from a proxy.
   * @param sent the same object each time one request is sent, so that its repeats use the same token.
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

  /** Opens a stream of server-sent events until `signal` aborts. */
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

  /** Runs `run` with a timeout. Rejects at the timeout even if `run` ignores its signal. */
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
      // The timeout passed while the token was fetched; the caller already has an error that says so.
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
      // The token may have expired, so the request is sent once more with a new one. The server did nothing for the
      // first.
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

/** Returns the reason of a failed `fetch`, for the error message. Node puts the reason into the cause of the error. */
export function reasonOf(cause: unknown): string {
  const said = [cause, (cause as { readonly cause?: unknown } | undefined)?.cause].filter((error) => isA(Error, error));
  return said.length > 0 ? ` (${said.map(messageOf).join(": ")})` : "";
}

/** Creates the error for a request to which the API did not respond. */
export const network = (message: string, details: Readonly<Record<string, unknown>> = {}, cause?: unknown) =>
  new QuaysideError("network", message, details, cause);

/** Cancels the unread body of a response, so that the connection is free for the next request. */
const discard = (response: Response): void => void response.body?.cancel().catch(() => {});

/**
 * Returns the token for a request.
 *
 * @throws {QuaysideError} `unauthorized` if there is no valid token; `network` if the token function failed
 * with another error than `unauthorized`.
 */
async function tokenFrom(token: Token, refused?: string): Promise<string> {
  let shown: unknown = token;
  if (typeof token === "function") {
    try {
      shown = await token(...(refused === undefined ? [] : [refused]));
    } catch (cause) {
      if (isQuaysideError(cause, "unauthorized")) throw cause;
      throw network(`The token function failed: ${messageOf(cause)}`, { reason: "token" }, cause);
    }
  }
  const text = typeof shown === "string" ? shown.trim() : "";
  if (/^[\x20-\x7e]+$/.test(text)) return text;
  const fault =
    text === "" ? "There is no token: nobody is signed in." : "The token holds characters that no header takes.";
  throw new QuaysideError("unauthorized", fault, { reason: "token", bare: true });
}

/** Reads the body of a response as text; undefined if it is longer than `limit` bytes. */
async function textOf(response: Response, limit: number): Promise<string | undefined> {
  // Some platforms with `fetch` have no streams.
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

/** Longest pause that the client accepts from a `Retry-After` header, in ms: one day. */
const LONGEST_WAIT_MS = 86_400_000;

const mediaType = (response: Response): string =>
  (response.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";

/**
 * Describes a response that is not from the API, for error messages: `200 (text/html, from https://login.example/)`.
 */
function describe(response: Response): string {
  const type = mediaType(response) || "no content type";
  return `${response.status} (${type}${response.redirected ? `, from ${response.url}` : ""})`;
}

/**
 * Converts an error response to an error. Responses of the API are recognised by their media type and `code`. Any other
 * response may come from a proxy: its error has `details.bare`. `details.retryAfterMs` is the requested delay.
 */
async function failureOf(what: string, response: Response, now: number, hasToken: boolean): Promise<QuaysideError> {
  const text = await textOf(response, LONGEST_PROBLEM).catch(() => undefined);
  const problem = text === undefined ? undefined : parse(text);
  const { status, headers } = response;
  // A date in `Retry-After` is compared with the server's clock, because this one may be wrong.
  const sentAt = Date.parse(headers.get("date") ?? "");
  const asked = retryAfterMs(headers.get("retry-after"), Number.isNaN(sentAt) ? now : sentAt);
  const { code, detail, errors, details } = (isObject(problem) ? problem : {}) as Readonly<Record<string, unknown>>;
  const more = typeof code === "string" && isObject(details) ? details : {};
  // The details have milliseconds; the header has whole seconds.
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
  // The server's driver is closed, not this one; a later request may succeed.
  if (code === "closed") return network(message, said);
  return new QuaysideError(code as ErrorCode, message, { ...(Array.isArray(errors) && { issues: errors }), ...said });
}

/**
 * Returns the error code for a response without problem details, by its status. The code shows whether a repeat may
 * succeed.
 */
function codeOf(status: number): ErrorCode {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 413) return "too_large";
  return status >= 400 && status < 500 && status !== 408 && status !== 429 ? "bad_request" : "network";
}
