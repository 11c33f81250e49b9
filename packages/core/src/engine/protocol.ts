import { describe } from "../job/cut-text.ts";
import { QuaysideError } from "../job/errors.ts";

/**
 * Version of the protocol of requests and replies over HTTP and RPC. A message without a version counts as version 1.
 */
export const PROTOCOL = 1;

/** HTTP header with the protocol version, in requests and responses. */
export const PROTOCOL_HEADER = "quayside-protocol";

/** Pause before a client repeats a request that was refused for its version, in ms. */
const RETRY_MS = 60_000;

/**
 * Refuses a protocol version that this code does not support (R39). A server checks it first, so a refused request has
 * no effect; a client keeps the request and repeats it later.
 *
 * @param version as received: a number, the text of a header, or undefined.
 * @throws {QuaysideError} `unsupported_version`; `details.supported` is this code's version.
 */
export function checkProtocol(carrier: "request" | "answer", version: unknown): void {
  if ((version ?? PROTOCOL) === PROTOCOL || version === `${PROTOCOL}`) return;
  throw new QuaysideError(
    "unsupported_version",
    `The ${carrier} is of protocol version ${typeof version === "string" ? JSON.stringify(version) : describe(version)}; this ${carrier === "request" ? "server" : "client"} reads version ${PROTOCOL}. Update the older side.${carrier === "answer" ? " The request may have been done." : ""}`,
    { supported: PROTOCOL, retryAfterMs: RETRY_MS, ...(carrier === "answer" && { uncertain: true }) },
  );
}
