import { QuaysideError } from "@quayside/core";
import { Webhook } from "standardwebhooks";

/** Minimum bytes of a decoded secret, as Standard Webhooks requires. */
const LEAST_BYTES = 24;

/** Creates one signer and verifier for each secret. */
export function signersOf(secrets: string | readonly string[]): readonly Webhook[] {
  const listed = typeof secrets === "string" ? [secrets] : secrets;
  if (!Array.isArray(listed) || listed.length === 0)
    throw refused("secrets", "must name at least one: is one missing?");
  return listed.map((secret, index) => signerOf(secret, typeof secrets === "string" ? "secrets" : `secrets[${index}]`));
}

/**
 * Creates the signer and verifier of one secret.
 *
 * @throws {QuaysideError} `invalid_option`; the message does not contain the secret.
 */
function signerOf(secret: unknown, option: string): Webhook {
  if (typeof secret !== "string" || !secret.startsWith("whsec_")) throw refused(option, 'must begin with "whsec_".');
  try {
    if (atob(secret.slice("whsec_".length)).length >= LEAST_BYTES) return new Webhook(secret);
  } catch {
    throw refused(option, 'must be base64 after "whsec_".');
  }
  throw refused(option, `must have ${LEAST_BYTES} bytes or more.`);
}

const refused = (option: string, why: string) => new QuaysideError("invalid_option", `${option} ${why}`, { option });
