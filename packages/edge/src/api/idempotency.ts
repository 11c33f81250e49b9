import { QuaysideError } from "@quayside/core";
import { checkWorker, type NumberedRequest, spellWorker } from "@quayside/core/engine";
import { sha256 } from "../sha256.ts";
import { canonicalJson } from "./json-text.ts";
import { FieldsError } from "./problem.ts";
import { readQuery } from "./query.ts";
import { requestHeader } from "./request-schemas.ts";

/** Characters of a key. */
const KEY_LIMIT = 255;
/** Characters of a subject's label: 128 bits in hex. */
const LABEL_LENGTH = 32;
/** A structured field string (RFC 9651): printable ASCII in quotes, with `\"` and `\\`. */
const QUOTED = /^"((?:[ !#-[\]-~]|\\["\\])*)"$/;
/** A key that is sent without the required quotes: no spaces, quotes, commas, semicolons or backslashes. */
const BARE = /^[!#-+\--:<-[\]-~]+$/;

/**
 * The key in an `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header); undefined without the header.
 *
 * @throws {FieldsError} `bad_request` when it is malformed.
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
 * The number that a driver gave the request itself (`quayside-request`), as an outbox does; undefined without the header.
 *
 * @throws {FieldsError} `bad_request`, naming what is wrong.
 */
export function readNumber(header: string | undefined): NumberedRequest | undefined {
  return header === undefined ? undefined : readQuery(requestHeader, new URLSearchParams(header), "quayside-request");
}

/** Whose a name is that a caller gives, and of which queue: the same name of another caller is another (R37). */
export interface Owner {
  readonly subject: string;
  readonly queue: string;
}

/** The sender of a request under this key, as marks name senders (R7): a hash, for the key is the caller's own. */
export const keySender = async (key: string, { subject, queue }: Owner): Promise<string> =>
  `key/${await sha256(JSON.stringify(["subject", subject, queue, key]))}`;

/**
 * A numbered request as its caller's own: none can name the sender of a key, or another caller's sender.
 *
 * @throws {QuaysideError} `wrong_subject` where the request says for whom it was first sent, and that is another caller.
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
 * The key of a caller's worker in the queue's object. Its lease holds jobs of this queue alone, whatever else the object
 * holds, and no caller can name a worker of another's, or of the object itself.
 */
export async function ownWorker(worker: string, { subject, queue }: Owner): Promise<string> {
  checkWorker(worker);
  return spellWorker(worker, await sha256(JSON.stringify([subject, queue, worker])));
}

/** The numbered request that a key stands for: `body` is what the caller sent. */
export async function keyedRequest(sender: string, body: unknown, ttlMs: number): Promise<NumberedRequest> {
  return { sender, number: 1, digest: await sha256(canonicalJson(body)), ttlMs };
}

/** Rewords core's errors about a sender and its number as errors about the key. */
export function inWordsOfKeys(error: unknown): unknown {
  if (!(error instanceof QuaysideError) || error.code !== "mark_conflict") return error;
  const message = "This Idempotency-Key was used for another request.";
  return new FieldsError("mark_conflict", message, [{ path: "Idempotency-Key", message }]);
}

/** A request whose caller hung up is dropped by the platform without a word: after this long it counts as gone. */
const GONE_MS = 60_000;
/** When to ask again for what is in progress. */
const RETRY_AFTER_S = 1;

/**
 * The keys whose requests are being worked on in this isolate, from their headers to their answer. A repeat that comes
 * meanwhile is refused (409): which of the two is done first, and whether that one is valid, is not known yet. Where the
 * two meet elsewhere, in different isolates, the queue's object takes one after the other, and the second gets the
 * receipts of the first.
 */
export class KeysInProgress {
  readonly #begun = new Map<string, { readonly at: number }>();

  /** @throws {QuaysideError} `in_progress`. */
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

  /** They stand in the order in which they began. */
  #dropGone(now: number): void {
    for (const [sender, { at }] of this.#begun) {
      if (now - at < GONE_MS) return;
      this.#begun.delete(sender);
    }
  }
}
