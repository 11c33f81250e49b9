import { fields } from "../job/checks.ts";
import { hasCode, invalidOption, QuaysideError, refused, SEALED } from "../job/errors.ts";
import { fromBase64, toBase64 } from "./base64.ts";

/** A key as WebCrypto holds it. */
export type AesKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/**
 * Keys for jobs at rest: AES-GCM, 16, 24 or 32 bytes raw or a `CryptoKey`. What is new is encrypted with `current`; any of
 * the keys decrypts, so a key is rotated by adding the next one, naming it `current`, and removing the old one when no job
 * bears it any more.
 *
 * Encrypted are payload, result, progress, logs, and message and stack of errors; names, options, tags and the codes of
 * errors are not. Events carry payload, result, progress and logs as stored. Results and progress may have 95 KiB, lines of
 * the log 2 KiB. Anything else in place of what was encrypted fails the attempt for good, with `decryption_failed`.
 *
 * A worker that meets a job whose key it lacks gives it back (not counted, for a minute, then for as long as it has waited,
 * at most an hour) and emits an `error` with code `missing_key`: the job waits for a worker that has the key, or for the key.
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

/** The envelope that is stored in place of a value. A type and not an interface, so that it is assignable to `Json`. */
export type Sealed = {
  readonly [SEALED]: 1;
  readonly key: string;
  readonly iv: string;
  readonly data: string;
  /** The job's own id is bound in too: it was known when the payload was encrypted. */
  readonly bound?: true;
};

export interface Bound {
  readonly queue: string;
  readonly name: string;
  readonly id?: string | undefined;
  /** Absent: the payload. */
  readonly field?: "result" | "progress" | "log" | "error";
}

/** Recommended length of an initialisation vector of AES-GCM (NIST SP 800-38D, 8.2). */
const IV_BYTES = 12;

/** Encrypts and decrypts what jobs bear. */
export class PayloadCipher {
  readonly #option: EncryptionOption;
  readonly #imported = new Map<string, Promise<AesKey>>();

  /** @throws {QuaysideError} `missing_key` when `current` is none of the keys; `invalid_option` when one has a wrong length. */
  constructor(option: EncryptionOption) {
    this.#option = option;
    if (!crypto.subtle)
      throw invalidOption(
        "encryption",
        "encryption needs crypto.subtle, which only secure contexts have: serve the page over HTTPS, or from localhost.",
      );
    fields(option, "encryption", ["keys", "current"], "encryption.");
    for (const [id, key] of Object.entries(fields(option.keys, "encryption.keys"))) {
      if (key instanceof Uint8Array && ![16, 24, 32].includes(key.length))
        throw refused(`encryption.keys.${id}`, "must have 16, 24 or 32 bytes", key.length);
    }
    if (!Object.hasOwn(option.keys, option.current)) throw missingKey(option.current, "encryption.current names");
  }

  /** @param text JSON text. */
  async seal(text: string, bound: Bound): Promise<Sealed> {
    const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
    const algorithm = { name: "AES-GCM", iv, additionalData: boundTo(bound) } as const;
    const { current } = this.#option;
    const data = await crypto.subtle.encrypt(algorithm, await this.#key(current), new TextEncoder().encode(text));
    return {
      [SEALED]: 1,
      key: current,
      iv: toBase64(iv),
      data: toBase64(new Uint8Array(data)),
      ...(bound.id !== undefined && { bound: true }),
    };
  }

  async open(sealed: Sealed, bound: Bound): Promise<unknown> {
    const key = await this.#key(sealed.key);
    try {
      const additionalData = boundTo(sealed.bound || bound.field ? bound : { ...bound, id: undefined });
      const algorithm = { name: "AES-GCM", iv: fromBase64(sealed.iv), additionalData } as const;
      const clear = await crypto.subtle.decrypt(algorithm, key, fromBase64(sealed.data));
      return JSON.parse(new TextDecoder().decode(clear));
    } catch (cause) {
      throw unreadable(bound, `does not decrypt with key ${JSON.stringify(sealed.key)}`, cause);
    }
  }

  #key(id: string): Promise<AesKey> {
    const key = Object.hasOwn(this.#option.keys, id) ? this.#option.keys[id] : undefined;
    if (!key) throw missingKey(id, "A job was encrypted with");
    const imported =
      this.#imported.get(id) ??
      (key instanceof Uint8Array
        ? crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"])
        : Promise.resolve(key));
    this.#imported.set(id, imported);
    return imported;
  }
}

/** The authenticated data of an envelope: it does not decrypt under another queue, job name, field or (where known) job. */
const boundTo = ({ queue, name, id, field }: Bound): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(new TextEncoder().encode(JSON.stringify([queue, name, ...[id ?? [], field ?? []].flat()])));

export const isSealed = (value: unknown): value is Sealed => {
  const { [SEALED]: version, ...rest } = (typeof value === "object" && value ? value : {}) as Partial<Sealed>;
  return version === 1 && [rest.key, rest.iv, rest.data].every((part) => typeof part === "string");
};

/** The value in the clear. @throws {QuaysideError} `missing_key`; `decryption_failed` for what does not decrypt, or is no envelope. */
export async function unseal(cipher: PayloadCipher | undefined, value: unknown, bound: Bound): Promise<unknown> {
  if (!isSealed(value)) throw unreadable(bound, "is not encrypted, though its job is");
  if (!cipher) throw missingKey(value.key, "A job was encrypted with");
  return cipher.open(value, bound);
}

function unreadable({ id = "", field }: Bound, why: string, cause?: unknown): QuaysideError {
  return new QuaysideError(
    "decryption_failed",
    `The ${field ?? "payload"} of job ${id} ${why}: the key is another one, or it was changed, or moved here from another job.`,
    { id },
    cause,
  );
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

export const isMissingKey = (error: unknown): boolean => hasCode(error, "missing_key");
