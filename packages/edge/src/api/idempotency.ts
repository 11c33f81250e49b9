import { QuaysideError } from "@quayside/core";
import { checkWorker, type NumberedRequest, spellWorker } from "@quayside/core/engine";
import { sha256 } from "../sha256.ts";
import { canonicalJson } from "./json-text.ts";
import { FieldsError } from "./problem.ts";
import { readQuery } from "./query.ts";
import { requestHeader } from "./request-schemas.ts";

/** Maximum number of characters of an idempotency key. */
const KEY_LIMIT = 255;
/** Number of characters of a subject's label: 128 bits in hex. */
const LABEL_LENGTH = 32;
/** Pattern of a structured field string (RFC 9651): printable ASCII in quotes, with `\"` and `\\` as escapes. */
const QUOTED = /^"((?:[ !#-[\]-~]|\\["\\])*)"$/;
/**
 * Pattern of an idempotency key that is sent without the required quotes: no spaces, quotes, commas, semicolons or
 * backslashes.
 */
const BARE = /^[!#-+\--:<-[\]-~]+$/;

/**
 * Returns the key in an `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header), or undefined without the
 * header.
 *
 * @throws {FieldsError} `bad_request` if the header is malformed.
 */
export function readIdempotencyKey(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const quoted = QUOTED.exec(header)?.[1]?.replaceAll(/\\(["\\])/g, "$1");
  const key = quoted ?? (BARE.test(header) ? header : "");
  if (key !== "" && key.length <= KEY_LIMIT) return key;
  const message = `It must be a string of 1 to ${KEY_LIMIT} printable ASCII characters in quotes.`;
  throw new FieldsError("bad_request", `The Idempotency-Key is malformed. ${message}`, [
    { path: "Idempotency-Key", message },
  ]);
}

/**
 * Returns the request number that an outbox or a driver sends in the header `quayside-request`, or undefined without
 * the header.
 *
 * @throws {FieldsError} `bad_request`, naming each wrong field.
 */
export function readNumber(header: string | undefined): NumberedRequest | undefined {
  return header === undefined ? undefined : readQuery(requestHeader, new URLSearchParams(header), "quayside-request");
}

/**
 * The caller and queue to which an idempotency key or a sender belongs. If two callers use the same name, it means
 * different keys or senders (R37).
 */
export interface Owner {
  readonly subject: string;
  readonly queue: string;
}

/** Returns the sender under which a keyed request is recorded (R7): a hash of the key, its caller and its queue. */
export const keySender = async (key: string, { subject, queue }: Owner): Promise<string> =>
  `key/${await sha256(JSON.stringify(["subject", subject, queue, key]))}`;

/**
 * Replaces the sender of a numbered request by one that only its caller can have, so that a caller cannot use the
 * sender of another caller or of a key.
 *
 * @throws {QuaysideError} `wrong_subject` if the request was first sent for another subject.
 */
export async function ownRequest(
  { subject: sentFor, ...request }: NumberedRequest,
  { subject, queue }: Owner,
): Promise<NumberedRequest> {
  if (sentFor !== undefined) {
    const label = (await sha256(JSON.stringify(["label", subject, queue]))).slice(0, LABEL_LENGTH);
    if (sentFor !== label)
      throw new QuaysideError(
        "wrong_subject",
        sentFor === ""
          ? "The request does not say yet for which subject it is sent: details.subject is that of these credentials."
          : "The request was first sent for another subject than that of these credentials: it waits for that subject's.",
        { subject: label },
      );
  }
  return { ...request, sender: `sender/${await sha256(JSON.stringify([subject, queue, request.sender]))}` };
}

/**
 * Returns the key under which the queue's object stores a remote worker. It depends on caller and queue, so the
 * worker's lease holds jobs of this queue only, and a caller cannot name the worker of another caller or of the object
 * itself.
 */
export async function ownWorker(worker: string, { subject, queue }: Owner): Promise<string> {
  checkWorker(worker);
  return spellWorker(worker, await sha256(JSON.stringify([subject, queue, worker])));
}

/** Creates the numbered request for an idempotency key. `body` is the request body, of which the digest is taken. */
export async function keyedRequest(sender: string, body: unknown, ttlMs: number): Promise<NumberedRequest> {
  return { sender, number: 1, digest: await sha256(canonicalJson(body)), ttlMs };
}

/** Rewords a `mark_conflict` error of core as an error about the `Idempotency-Key`. */
export function inWordsOfKeys(error: unknown): unknown {
  if (!(error instanceof QuaysideError) || error.code !== "mark_conflict") return error;
  const message = "This Idempotency-Key was used for another request.";
  return new FieldsError("mark_conflict", message, [{ path: "Idempotency-Key", message }]);
}

/**
 * Time after which a running request counts as disconnected, in ms: the platform drops requests of disconnected callers
 * without an event.
 */
const GONE_MS = 60_000;
/** Value of `Retry-After` for a key whose request is in progress, in seconds. */
const RETRY_AFTER_S = 1;

/**
 * The idempotency keys of the requests in progress in this isolate. A repeated request that arrives meanwhile is
 * refused with 409, because the first one may still fail. Between isolates, the queue's object runs both requests in
 * turn, and the second gets the receipts of the first.
 */
export class KeysInProgress {
  readonly #begun = new Map<string, { readonly at: number }>();

  /**
   * Runs `work` while no other request with this key runs.
   *
   * @throws {QuaysideError} `in_progress` if another request with this key runs.
   */
  async run<T>(sender: string, work: () => Promise<T>): Promise<T> {
    const now = Date.now();
    this.#dropGone(now);
    if (this.#begun.has(sender)) {
      throw new QuaysideError("in_progress", "A request with this Idempotency-Key is still in progress.", {
        retryAfterMs: RETRY_AFTER_S * 1_000,
      });
    }
    const own = { at: now };
    this.#begun.set(sender, own);
    try {
      return await work();
    } finally {
      if (this.#begun.get(sender) === own) this.#begun.delete(sender);
    }
  }

  /**
   * Removes requests that began long ago and count as disconnected. The map is in the order in which requests began.
   */
  #dropGone(now: number): void {
    for (const [sender, { at }] of this.#begun) {
      if (now - at < GONE_MS) return;
      this.#begun.delete(sender);
    }
  }
}
