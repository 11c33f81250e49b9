import { type Clock, type ErrorCode, QuaysideError, retryAfterMs } from "@quayside/core";
import type { Problem } from "../api/problem.ts";

/** The part of `fetch` that is used, so that anything like it will do (a Worker's service binding, Hono's `request`). */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** A bearer token, or who knows it: asked before every request, and once more when the server refused what it said. */
export type Token = string | ((refused?: string) => string | Promise<string>);

export interface HttpCallerOptions {
  readonly url: string;
  readonly token?: Token;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** Speaks HTTP with the API: sends the token, turns every failure into a `QuaysideError`. */
export class HttpCaller {
  readonly #options: HttpCallerOptions;

  constructor(options: HttpCallerOptions) {
    this.#options = options;
  }

  /** Sends `body` (JSON text) and answers the parsed answer. */
  async json<T>(method: string, path: string, body?: string, headers?: Readonly<Record<string, string>>): Promise<T> {
    const controller = new AbortController();
    const cancel = this.#options.clock.after(this.#options.timeoutMs, () => controller.abort());
    try {
      const response = await this.#send(method, path, controller.signal, body, headers);
      return (await readBody(response)) as T;
    } finally {
      cancel();
    }
  }

  /** Opens a stream of server-sent events, for as long as `signal` lets it. */
  async stream(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#send("GET", path, signal);
    if (!response.body) throw new QuaysideError("network", "The server answered without a body.");
    return response.body;
  }

  async #send(
    method: string,
    path: string,
    signal: AbortSignal,
    body?: string,
    extra?: Readonly<Record<string, string>>,
  ): Promise<Response> {
    const { url, token, fetch, clock } = this.#options;
    const headers: Record<string, string> = { accept: "application/json, text/event-stream", ...extra };
    if (body !== undefined) headers["content-type"] = "application/json";
    const send = async (shown: string | undefined): Promise<Response> => {
      if (shown !== undefined) headers["authorization"] = `Bearer ${shown}`;
      try {
        return await fetch(`${url}${path}`, { method, headers, signal, ...(body !== undefined && { body }) });
      } catch (cause) {
        throw unreachable(`${method} ${url}${path} did not get through`, cause);
      }
    };
    // What an application's own token function throws is for the application.
    const shown = typeof token === "function" ? await token() : token;
    let response = await send(shown);
    if (response.status === 401 && typeof token === "function") {
      // It may have run out on the way, or hours ago: a fresh one gets one more chance. Nothing was done with the first.
      const fresh = await token(shown);
      if (fresh !== shown) {
        await response.body?.cancel();
        response = await send(fresh);
      }
    }
    if (!response.ok) throw await failureOf(response, clock.now());
    return response;
  }
}

const unreachable = (what: string, cause?: unknown) => new QuaysideError("network", `${what}.`, {}, cause);

async function readBody(response: Response): Promise<unknown> {
  let text: string;
  try {
    text = await response.text();
  } catch (cause) {
    throw unreachable("The connection broke during the answer", cause);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw unreachable("The answer is not JSON: is this the URL of a queue API?", cause);
  }
}

/** A server that asks for more is asked again after a day: its clock, or what it says, may be wrong. */
const LONGEST_WAIT_MS = 86_400_000;

/**
 * The error that a failed answer tells of. Without problem details it comes from something on the way, not from the API:
 * `details.bare`. `details.retryAfterMs` is what a `Retry-After` asked for.
 */
async function failureOf(response: Response, now: number): Promise<QuaysideError> {
  let problem: Partial<Problem> | undefined;
  try {
    problem = (await response.json()) as Partial<Problem>;
  } catch {
    problem = undefined;
  }
  const { status } = response;
  const askedMs = retryAfterMs(response.headers.get("retry-after"), now);
  const said = { status, ...(askedMs !== undefined && { retryAfterMs: Math.min(askedMs, LONGEST_WAIT_MS) }) };
  if (typeof problem?.code === "string") {
    const { code, detail, errors, details } = problem;
    // Its details may say to the millisecond what the header says in whole seconds.
    return new QuaysideError(code, detail ?? code, { ...said, ...details, status, ...(errors && { errors }) });
  }
  return new QuaysideError(codeOf(status), `The server answered ${status}.`, { ...said, bare: true });
}

/** What a bare status means to a caller: whether another try may help is what matters. */
function codeOf(status: number): ErrorCode {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 413) return "too_large";
  return status < 500 && status !== 408 && status !== 429 ? "bad_request" : "network";
}
