import { QuaysideError } from "../job/errors.ts";
import { fromBase64, toBase64 } from "./base64.ts";

/** A key as WebCrypto holds it. */
export type AesKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/**
 * Keys for payloads at rest: AES-GCM, 16, 24 or 32 bytes raw or a `CryptoKey`. New payloads are encrypted with `current`;
 * any of the keys decrypts, so a key is rotated by adding the next one, naming it `current`, and removing the old one
 * when no job bears it any more.
 *
 * A worker that meets a job whose key it lacks gives it back (not counted, for a minute) and emits an `error` with code
 * `missing_key`: the job waits for a worker that has the key, or for the key.
 *
 * Payloads alone are encrypted: names, options, tags, results, progress and logs are not. Events carry payloads as stored.
 *
 * @example
 * const queue = new Queue("mail", driver, {
 *   encryption: { keys: { "2026-01": keyOfJanuary, "2026-07": keyOfJuly }, current: "2026-07" },
 *   defaults: { encrypted: true },
 * });
 */
export interface EncryptionOption {
  readonly keys: { readonly [id: string]: AesKey | Uint8Array<ArrayBuffer> };
  /** The id of the key for new payloads. */
  readonly current: string;
}

/** What stands in the store in place of an encrypted payload. */
interface Sealed {
  readonly "quayside:sealed": 1;
  readonly key: string;
  readonly iv: string;
  readonly data: string;
  /** The job's own id is bound in too: it was known when the payload was encrypted. */
  readonly bound?: true;
}

interface Bound {
  readonly queue: string;
  readonly name: string;
  readonly id?: string | undefined;
}

/** Recommended length of an initialisation vector of AES-GCM (NIST SP 800-38D, 8.2). */
const IV_BYTES = 12;

/** Encrypts and decrypts payloads. */
export class PayloadCipher {
  readonly #option: EncryptionOption;
  readonly #imported = new Map<string, Promise<AesKey>>();

  /** @throws {QuaysideError} `missing_key` when `current` is none of the keys; `invalid_option` when one has a wrong length. */
  constructor(option: EncryptionOption) {
    this.#option = option;
    for (const [id, key] of Object.entries(option.keys)) {
      if (key instanceof Uint8Array && ![16, 24, 32].includes(key.length)) {
        throw new QuaysideError(
          "invalid_option",
          `encryption.keys.${id} must have 16, 24 or 32 bytes, got ${key.length}.`,
          {
            option: `encryption.keys.${id}`,
          },
        );
      }
    }
    if (!Object.hasOwn(option.keys, option.current)) throw missingKey(option.current, "encryption.current names");
  }

  /** @param text JSON text of the payload. @returns JSON text of its envelope. */
  async seal(text: string, { queue, name, id }: Bound): Promise<string> {
    const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
    const algorithm = { name: "AES-GCM", iv, additionalData: boundTo({ queue, name, id }) } as const;
    const { current } = this.#option;
    const data = await crypto.subtle.encrypt(algorithm, await this.#key(current), new TextEncoder().encode(text));
    const sealed: Sealed = {
      "quayside:sealed": 1,
      key: current,
      iv: toBase64(iv),
      data: toBase64(new Uint8Array(data)),
      ...(id !== undefined && { bound: true }),
    };
    return JSON.stringify(sealed);
  }

  /** The payload in the clear; one that was never encrypted is answered as it is. @throws `missing_key`, `decryption_failed`. */
  async open(job: Required<Bound> & { readonly payload: unknown }): Promise<unknown> {
    const { payload, queue, name } = job;
    if (!isSealed(payload)) return payload;
    const key = await this.#key(payload.key);
    const additionalData = boundTo({ queue, name, id: payload.bound ? job.id : undefined });
    try {
      const algorithm = { name: "AES-GCM", iv: fromBase64(payload.iv), additionalData } as const;
      const clear = await crypto.subtle.decrypt(algorithm, key, fromBase64(payload.data));
      return JSON.parse(new TextDecoder().decode(clear));
    } catch (cause) {
      throw new QuaysideError(
        "decryption_failed",
        `The payload of job ${job.id} does not decrypt with key ${JSON.stringify(payload.key)}: the key is another one, or the payload was changed or moved to another job.`,
        { id: String(job.id), key: payload.key },
        cause,
      );
    }
  }

  #key(id: string): Promise<AesKey> {
    const key = Object.hasOwn(this.#option.keys, id) ? this.#option.keys[id] : undefined;
    if (!key) throw missingKey(id, "A payload was encrypted with");
    const imported =
      this.#imported.get(id) ??
      (key instanceof Uint8Array
        ? crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"])
        : Promise.resolve(key));
    this.#imported.set(id, imported);
    return imported;
  }
}

/** What an envelope is bound to, so that it cannot be moved to another queue, job name or (where known) job. */
const boundTo = ({ queue, name, id }: Bound): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(new TextEncoder().encode(JSON.stringify(id === undefined ? [queue, name] : [queue, name, id])));

export function isSealed(payload: unknown): payload is Sealed {
  return typeof payload === "object" && payload !== null && "quayside:sealed" in payload;
}

/** For a worker without any keys. @throws {QuaysideError} `missing_key` when the payload is encrypted. */
export function refuseSealed({ payload }: { readonly payload: unknown }): unknown {
  if (isSealed(payload)) throw missingKey(payload.key, "A payload was encrypted with");
  return payload;
}

function missingKey(id: string, what: string): QuaysideError {
  return new QuaysideError(
    "missing_key",
    `${what} key ${JSON.stringify(id)}, which is not among encryption.keys here.`,
    {
      key: id,
    },
  );
}

export const isMissingKey = (error: unknown): boolean => error instanceof QuaysideError && error.code === "missing_key";
