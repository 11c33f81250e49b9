import type { Run } from "../attempt/attempt.ts";
import { cutText, describe } from "../job/cut-text.ts";
import { invalidOption, isA, QuaysideError, refused } from "../job/errors.ts";
import type { ChildOutcome, HandlerContext } from "../job/handler.ts";
import type { JobRecord } from "../job/job-record.ts";
import { type Json, toBoundedJson } from "../job/json.ts";
import * as LIMITS from "../job/limits.ts";
import type { NewJob } from "../job/new-job.ts";
import { fields } from "../job/option-checks.ts";
import { decisionOf, Release } from "../job/release-job.ts";
import { SEALED, SealedError, type StoredError, toStoredError } from "../job/stored-error.ts";
import { fromBase64, toBase64 } from "./base64.ts";
import { waitForKey } from "./job-runner.ts";
import { missingKey } from "./sealed-jobs.ts";

/** Encrypts the contents of jobs. Made by `aesGcm`. */
export interface Encryption {
  /** Returns the job with its payload encrypted. */
  seal(job: NewJob): Promise<NewJob>;
  /** Returns whether this job or one of its children is encrypted. */
  concerns(job: JobRecord, ctx: HandlerContext): boolean;
  /** Runs `handle` with the job decrypted. Encrypts the result, progress, logs and error. */
  run(job: JobRecord, ctx: HandlerContext, handle: Run): Promise<unknown>;
  /** Returns a job's payload, decrypted if it is encrypted. @throws `missing_key`, `decryption_failed`. */
  payload(job: Pick<JobRecord, "queue" | "name" | "id" | "payload" | "sealed">): Promise<unknown>;
  /** Decrypts fields for which there is a key. Drops values of an encrypted job that are not encrypted. */
  readable<Payload>(job: JobRecord<Payload>): Promise<JobRecord<Payload>>;
  /** Decrypts as `readable` does, but throws `missing_key` or `decryption_failed` if the result cannot be decrypted. */
  ended(job: JobRecord): Promise<JobRecord>;
}

/** A `CryptoKey` of WebCrypto. */
export type AesKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/** The keys of `aesGcm`, by their ids. */
export interface AesGcmKeys {
  readonly keys: { readonly [id: string]: AesKey | Uint8Array<ArrayBuffer> };
  /** The id of the key that encrypts payloads from now on. */
  readonly current: string;
}

/**
 * Encrypts stored jobs with AES-GCM, by raw keys of 16, 24 or 32 bytes or by `CryptoKey`s. The key `current` encrypts;
 * every key decrypts. To rotate keys, add a new one, make it `current`, and remove the old one when no job uses it.
 *
 * Encrypts payload, result, progress, logs, and message and stack of errors; not names, options, tags and error codes.
 * Events have payload, result, progress and logs as stored. Limits: 95 KiB for a result or progress, 2 KiB for a log
 * line. Plaintext in an encrypted job fails the attempt for good with `decryption_failed`.
 *
 * A worker without the key of a job releases it without counting an attempt (for a minute, then for as long as the job
 * has waited, at most an hour) and emits an `error` with code `missing_key`.
 *
 * Raw bytes are copied: overwrite yours afterwards.
 *
 * @throws {QuaysideError} `missing_key` if `current` is none of the keys; `invalid_option` if a key has a wrong length or
 * type, or is a `CryptoKey` without the needed usages.
 * @example
 * const queue = new Queue("mail", driver, {
 *   encryption: aesGcm({ keys: { "2026-01": keyOfJanuary, "2026-07": keyOfJuly }, current: "2026-07" }),
 *   defaults: { encrypted: true },
 * });
 */
export const aesGcm = (keys: AesGcmKeys): Encryption => new AesGcm(keys);

/** An envelope, stored in place of an encrypted value. A type, not an interface, so that it is assignable to `Json`. */
type Sealed = {
  readonly [SEALED]: 1;
  readonly key: string;
  readonly iv: string;
  readonly data: string;
  /** Set if the envelope is bound to the id of its job, so that it cannot be decrypted in another. */
  readonly bound?: true | undefined;
};

interface Bound {
  readonly queue: string;
  readonly name: string;
  readonly id?: string | undefined;
  /** The encrypted field of the job. Absent: the payload. */
  readonly field?: "result" | "progress" | "log" | "error" | undefined;
}

/** Recommended length of an AES-GCM initialisation vector (NIST SP 800-38D, 8.2). */
const IV_BYTES = 12;

/** Maximum bytes of a result or progress value, whose envelope is a third longer and has the limit `resultBytes`. */
const SEALED_BYTES = 95 * 1024;

class AesGcm implements Encryption {
  /** The keys by id, imported when used. Copied, because a caller may overwrite its bytes or change its list. */
  readonly #keys = new Map<string, AesKey | Uint8Array<ArrayBuffer> | Promise<AesKey>>();
  readonly #current: string;

  constructor(option: AesGcmKeys) {
    if (!crypto.subtle)
      throw invalidOption(
        "encryption",
        "encryption needs crypto.subtle: serve the page over HTTPS, or from localhost.",
      );
    const { keys, current } = discreetFields(option, "encryption", ["keys", "current"]);
    for (const [id, key] of Object.entries(discreetFields(keys, "encryption.keys")))
      this.#keys.set(id, checkKey(key, `encryption.keys.${id}`, id === current));
    if (typeof current !== "string") throw refused("encryption.current", "must be the id of a key", typeof current);
    if (!this.#keys.has(current)) throw missingKey("encryption.current names", current);
    this.#current = current;
  }

  async seal(job: NewJob): Promise<NewJob> {
    const { queue, name, payload } = job;
    // With a dedupe key, another job may take over the payload, so it is bound to queue and name only.
    const id = job.dedupe ? undefined : job.id;
    return { ...job, payload: JSON.stringify(await this.#encrypt(payload, { queue, name, id })), sealed: true };
  }

  concerns(job: JobRecord, ctx: HandlerContext): boolean {
    return job.sealed === true || ctx.children().some(({ sealed }) => sealed);
  }

  async run(stored: JobRecord, ctx: HandlerContext, handle: Run): Promise<unknown> {
    const { queue, name, id } = stored;
    const payload = await this.payload(stored).catch((error) => {
      throw waitForKey(stored, error);
    });
    const outcomes = await Promise.all(ctx.children().map((child) => this.#outcome(child)));
    const children = () => outcomes;
    if (payload === stored.payload) return handle(stored, { ...ctx, signal: ctx.signal, children });

    const seal = (field: Field, text: string) => this.#encrypt(text, { queue, name, id, field });
    let told: Promise<unknown> = Promise.resolve();
    const job = { ...(await this.readable(stored)), payload };
    const inner: HandlerContext = {
      ...ctx,
      signal: ctx.signal,
      job,
      children,
      progress(value) {
        const text = toBoundedJson(value, "progress", "invalid_option", SEALED_BYTES);
        told = told.then(async () => ctx.progress(await seal("progress", text)));
      },
      log(line) {
        const text = JSON.stringify(cutText(describe(line), LIMITS.logLineBytes / 2));
        told = told.then(async () => ctx.log(JSON.stringify(await seal("log", text))));
      },
    };
    try {
      const result = await handle(job, inner);
      await told;
      if (decisionOf(stored)) throw decisionOf(stored);
      return result === undefined
        ? undefined
        : await seal("result", toBoundedJson(result, "result", "invalid_result", SEALED_BYTES));
    } catch (thrown) {
      await told;
      const error = decisionOf(stored) ?? thrown;
      if (isA(Release, error)) throw error;
      throw new SealedError(error, await seal("error", JSON.stringify(toStoredError(error))));
    }
  }

  async payload(job: Pick<JobRecord, "queue" | "name" | "id" | "payload" | "sealed">): Promise<unknown> {
    return job.sealed ? this.#decrypt(job.payload, job) : job.payload;
  }

  async readable<Payload>(job: JobRecord<Payload>): Promise<JobRecord<Payload>> {
    // Also in unencrypted jobs: an encrypted job that one has replaced may have left its log.
    const clear = async (field: Field, value: unknown) =>
      isSealed(value) ? this.#open(job, field, value).catch(() => value) : job.sealed ? undefined : value;
    const readable = {
      ...job,
      payload: await this.payload(job).catch(() => (isSealed(job.payload) ? job.payload : undefined)),
      logs: await Promise.all(
        job.logs.map((line) => clear("log", parsed(line)).then((text) => (typeof text === "string" ? text : line))),
      ),
      ...(job.error && { error: await this.#error(job, job.error) }),
    } as Writable<JobRecord<Payload>>;
    for (const field of ["result", "progress"] as const)
      if (job[field] !== undefined) readable[field] = (await clear(field, job[field])) as Json;
    return readable;
  }

  async ended(job: JobRecord): Promise<JobRecord> {
    if (job.sealed && job.result !== undefined) await this.#open(job, "result", job.result);
    return this.readable(job);
  }

  async #outcome(child: ChildOutcome): Promise<ChildOutcome> {
    const { result, error, sealed } = child;
    if (!sealed) return child;
    return {
      ...child,
      ...(result !== undefined && { result: (await this.#open(child, "result", result)) as Json }),
      ...(error && { error: await this.#error(child, error) }),
    };
  }

  /** Decrypts an error. Errors of the engine (a timeout, an interruption) are not encrypted. */
  async #error(job: Bound, error: StoredError): Promise<StoredError> {
    const sealed = error.details?.[SEALED];
    return sealed ? (this.#open(job, "error", sealed).catch(() => error) as Promise<StoredError>) : error;
  }

  #open({ queue, name, id }: Bound, field: Field, value: unknown): Promise<unknown> {
    return this.#decrypt(value, { queue, name, id, field });
  }

  /** Encrypts a JSON text and returns its envelope. */
  async #encrypt(text: string, bound: Bound): Promise<Sealed> {
    const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
    const algorithm = { name: "AES-GCM", iv, additionalData: boundTo(bound) } as const;
    const current = this.#current;
    const data = await crypto.subtle.encrypt(algorithm, await this.#key(current), new TextEncoder().encode(text));
    return {
      [SEALED]: 1,
      key: current,
      iv: toBase64(iv),
      data: toBase64(new Uint8Array(data)),
      ...(bound.id !== undefined && { bound: true }),
    };
  }

  /**
   * Decrypts an envelope. @throws {QuaysideError} `missing_key`; `decryption_failed` if it is no envelope or does not
   * decrypt.
   */
  async #decrypt(sealed: unknown, bound: Bound): Promise<unknown> {
    if (!isSealed(sealed)) throw unreadable(bound, "is not encrypted, though its job is");
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
    const key = this.#keys.get(id);
    if (!key) throw missingKey("A job was encrypted with", id);
    const imported =
      key instanceof Uint8Array
        ? crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"])
        : Promise.resolve(key);
    this.#keys.set(id, imported);
    return imported;
  }
}

/** Checks fields as `fields` does, but its error names only the type of a wrong value, which may be a key. */
function discreetFields<T extends object>(value: T, option: string, known?: readonly string[]): T {
  const kind = Array.isArray(value) ? "list" : typeof value;
  fields((kind === "object" ? value : kind) as T, option);
  for (const field in value)
    if (known?.includes(field) === false)
      throw refused(`${option}.${field}`, `is no option (known are ${known.join(", ")})`, typeof value[field]);
  return value;
}

/** Checks that a key can decrypt and, if `encrypts`, encrypt. The error contains nothing of the key. */
function checkKey(key: AesKey | Uint8Array<ArrayBuffer>, option: string, encrypts: boolean) {
  if (key instanceof Uint8Array) {
    if (![16, 24, 32].includes(key.length)) throw refused(option, "must have 16, 24 or 32 bytes", key.length);
    return key.slice();
  }
  const { algorithm, usages = [] } = (key ?? {}) as Partial<{ algorithm: { name: string }; usages: string[] }>;
  if (algorithm?.name !== "AES-GCM" || !usages.includes("decrypt") || (encrypts && !usages.includes("encrypt")))
    throw refused(option, "must be a Uint8Array, or a CryptoKey of AES-GCM that may decrypt and encrypt", typeof key);
  return key;
}

/** Returns the authenticated data of an envelope, which bind it to its queue, job name, field and (if `bound`) job. */
const boundTo = ({ queue, name, id, field }: Bound): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(new TextEncoder().encode(JSON.stringify([queue, name, ...[id ?? [], field ?? []].flat()])));

const isSealed = (value: unknown): value is Sealed => {
  const { [SEALED]: version, ...rest } = (typeof value === "object" && value ? value : {}) as Partial<Sealed>;
  return version === 1 && [rest.key, rest.iv, rest.data].every((part) => typeof part === "string");
};

function unreadable({ id = "", field }: Bound, why: string, cause?: unknown): QuaysideError {
  return new QuaysideError(
    "decryption_failed",
    `The ${field ?? "payload"} of job ${id} ${why}: it takes another key, or was changed, or moved from another job.`,
    { id },
    cause,
  );
}

type Field = Bound["field"] & {};
type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

/** Parses a log line if it is an envelope; returns any other line as it is. */
function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return line;
  }
}
