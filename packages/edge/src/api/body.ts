import { DEFAULTS, QuaysideError } from "@quayside/core";
import { isDeeper } from "./json-text.ts";

/** Maximum nesting depth of a request body: the payload's limit plus the levels of the request around the payload. */
const NESTING_LIMIT = DEFAULTS.nestingLimit + 8;

/**
 * Reads a request body as JSON. Requires a JSON content type: HTML forms of other sites cannot send it, so a site
 * cannot misuse a visitor's cookies.
 *
 * @throws {QuaysideError} `bad_request` if the body is not JSON in UTF-8, or is nested too deep;
 * `unsupported_media_type` if it is compressed.
 */
export async function readBody(request: Request, limit: number): Promise<unknown> {
  if (!/^application\/(?:[^;]+\+)?json\b/i.test(request.headers.get("content-type") ?? "")) {
    throw new QuaysideError("bad_request", "The content type must be application/json.");
  }
  const coding = request.headers.get("content-encoding") ?? "identity";
  if (!/^identity$/i.test(coding)) {
    throw new QuaysideError(
      "unsupported_media_type",
      `The body must not be compressed, and is by ${coding.slice(0, 40)}.`,
    );
  }
  const text = decode(await bytesOf(request, limit));
  if (isDeeper(text, NESTING_LIMIT)) {
    throw new QuaysideError("bad_request", `The body is nested more than ${NESTING_LIMIT} levels deep.`);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? `: ${cause.message.slice(0, 200).toWellFormed()}` : "";
    throw new QuaysideError("bad_request", `The body is not JSON${why}.`, {}, cause);
  }
}

/**
 * Refuses a body on a route that takes none. If a filter were sent in the body, it would be ignored, and `clear` would
 * remove every job.
 *
 * @throws {QuaysideError} `bad_request` if the body is neither empty nor `{}`.
 */
export async function refuseBody(request: Request, limit: number): Promise<undefined> {
  const text = new TextDecoder().decode(await bytesOf(request, limit)).trim();
  if (text !== "" && text !== "{}")
    throw new QuaysideError("bad_request", "This call takes no body: what it is about stands in its path and query.");
}

/**
 * Reads a body that may arrive in chunks and without a length.
 *
 * @throws {QuaysideError} `too_large` if the body has more than `limit` bytes.
 */
async function bytesOf({ body, headers }: Request, limit: number): Promise<Uint8Array> {
  const tooLarge = () => new QuaysideError("too_large", `The body is larger than ${limit} bytes.`, { limit });
  if (Number(headers.get("content-length")) > limit) throw tooLarge();
  if (!body) return new Uint8Array();
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
  const pieces: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.byteLength;
    if (size > limit) {
      reader.cancel().catch(() => {});
      throw tooLarge();
    }
    pieces.push(value);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.byteLength;
  }
  return bytes;
}

/** Decodes UTF-8. Refuses invalid bytes, which would otherwise be stored as replacement characters. */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch (cause) {
    throw new QuaysideError("bad_request", "The body is not well-formed UTF-8.", {}, cause);
  }
}
