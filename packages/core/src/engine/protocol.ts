import { describe } from "../job/cut-text.ts";
import { QuaysideError } from "../job/errors.ts";

/** The version of the protocol of requests and their answers, over HTTP and RPC. One that carries none is of version 1. */
export const PROTOCOL = 1;

/** The HTTP header that carries the version, on requests and on answers. */
export const PROTOCOL_HEADER = "quayside-protocol";

/** How long a client keeps what it could not send before it tries again, in ms: one of the two sides is to be updated. */
const RETRY_MS = 60_000;

/**
 * Refuses a version of the protocol that this code does not read (R39). A server calls it before it does anything, so what
 * it refuses was not done; a client keeps the request and sends it again later.
 *
 * @param version as it arrived: a number, the text of a header, or nothing.
 * @throws {QuaysideError} `unsupported_version`; `details.supported` is the version that the thrower has.
 */
export function checkProtocol(carrier: "request" | "answer", version: unknown): void {
  if ((version ?? PROTOCOL) === PROTOCOL || version === `${PROTOCOL}`) return;
  throw new QuaysideError(
    "unsupported_version",
    `The ${carrier} is of protocol version ${typeof version === "string" ? JSON.stringify(version) : describe(version)}; this ${carrier === "request" ? "server" : "client"} reads version ${PROTOCOL}. Update the older side.${carrier === "answer" ? " The request may have been done." : ""}`,
    { supported: PROTOCOL, retryAfterMs: RETRY_MS },
  );
}
