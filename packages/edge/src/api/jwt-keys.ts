import { QuaysideError } from "@quayside/core";
import {
  base64url,
  createRemoteJWKSet,
  decodeProtectedHeader,
  errors,
  importJWK,
  importSPKI,
  type JWK,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  jwtVerify,
} from "jose";
import { checkSecret } from "./auth.ts";

/** Signature algorithms (RFC 7518, 3.1; RFC 8037). `none` is not supported. */
export type JwtAlgorithm =
  | "HS256"
  | "HS384"
  | "HS512"
  | "RS256"
  | "RS384"
  | "RS512"
  | "PS256"
  | "PS384"
  | "PS512"
  | "ES256"
  | "ES384"
  | "ES512"
  | "EdDSA";

/**
 * A key that verifies tokens. For `HS…`, a secret as text; otherwise, a public key in PEM
 * (`-----BEGIN PUBLIC KEY-----`). Both may also be a JWK.
 */
export type JwtKey = string | JWK;

/** One key, several keys, a key set, or the URL of a key set. */
export type JwtKeys = JwtKey | readonly JwtKey[] | { readonly keys: readonly JWK[] } | URL;

interface OwnKey {
  readonly kid: string | undefined;
  readonly key: Uint8Array | CryptoKey;
}

/** Minimum number of bits of an RSA key (RFC 7518, 3.3). */
const RSA_BITS = 2_048;

/** The keys that verify tokens of one algorithm. */
export class KeyRing {
  readonly #algorithm: JwtAlgorithm;
  readonly #keys: readonly JwtKey[];
  readonly #remote: JWTVerifyGetKey | undefined;
  #imported: readonly OwnKey[] | undefined;

  /**
   * Checks the keys without importing them.
   *
   * @throws {QuaysideError} `invalid_option` if a key is missing, unsuitable or too weak.
   */
  constructor(algorithm: JwtAlgorithm, keys: JwtKeys) {
    this.#algorithm = algorithm;
    if (keys instanceof URL) {
      this.#keys = [];
      this.#remote = remoteKeys(algorithm, keys);
    } else {
      this.#keys = isSet(keys) ? keys.keys.filter((key) => suits(key, algorithm)) : [keys].flat();
      if (this.#keys.length === 0) throw wrong(`There is no key for ${algorithm} among those given.`);
      for (const key of this.#keys) checkKey(key, algorithm);
    }
  }

  /** Verifies a token and returns its claims, or undefined if the token is invalid. */
  async verify(token: string, options: JWTVerifyOptions): Promise<JWTPayload | undefined> {
    const pinned = { ...options, algorithms: [this.#algorithm] };
    try {
      if (this.#remote) return (await jwtVerify(token, this.#remote, pinned)).payload;
      for (const { key } of await this.#candidates(token)) {
        try {
          return (await jwtVerify(token, key, pinned)).payload;
        } catch (error) {
          // Another key may match the signature.
          if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
        }
      }
      return undefined;
    } catch (error) {
      // A JOSEError means that the token is invalid. Any other error means that the keys are.
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }

  /**
   * Returns the keys that may have signed the token: those with its `kid`, and those without a `kid`. Uses no other
   * field of the token's header.
   */
  async #candidates(token: string): Promise<readonly OwnKey[]> {
    this.#imported ??= await Promise.all(this.#keys.map((key) => importKey(key, this.#algorithm)));
    const asked = kidOf(token);
    return this.#imported.filter(({ kid }) => asked === undefined || kid === undefined || kid === asked);
  }
}

const isSet = (keys: JwtKeys): keys is { readonly keys: readonly JWK[] } =>
  typeof keys === "object" && keys !== null && "keys" in keys && Array.isArray(keys.keys);

function kidOf(token: string): string | undefined {
  try {
    const { kid } = decodeProtectedHeader(token);
    return typeof kid === "string" ? kid : undefined;
  } catch {
    // The text is not a token; verification refuses it.
    return undefined;
  }
}

const wrong = (message: string, cause?: unknown) =>
  new QuaysideError("invalid_option", message, { option: "auth.keys" }, cause);

const isSecret = (algorithm: JwtAlgorithm): boolean => algorithm.startsWith("HS");

const KEY_TYPES: Readonly<Record<string, string>> = { HS: "oct", RS: "RSA", PS: "RSA", ES: "EC", Ed: "OKP" };

/** Returns whether a key is for signatures of this algorithm. A published key set may hold keys for other uses. */
const suits = ({ kty, alg, use }: JWK, algorithm: JwtAlgorithm): boolean =>
  kty === KEY_TYPES[algorithm.slice(0, 2)] && (alg ?? algorithm) === algorithm && (use ?? "sig") === "sig";

/** Checks a key. The error message contains no part of the key, because it may be logged. */
function checkKey(key: JwtKey | null | undefined, algorithm: JwtAlgorithm): void {
  if (typeof key !== "object" || key === null) checkSecret(key ?? undefined);
  const text = typeof key === "string" ? key : "";
  if (isSecret(algorithm)) {
    // A public key is not secret: used as an HMAC secret, it would let any caller sign a valid token.
    if (text.includes("-----BEGIN")) throw wrong(`A key in PEM is no secret for ${algorithm}.`);
    if (typeof key === "object" && !suits(key as JWK, algorithm))
      throw wrong(`This JWK is no secret for ${algorithm}.`);
    const bytes = secretBytes(key as JwtKey).length;
    const least = Number(algorithm.slice(2)) / 8;
    if (bytes < least) throw wrong(`A secret for ${algorithm} has at least ${least} bytes, not ${bytes}.`);
    return;
  }
  const isPrivate = text.includes("PRIVATE") || (typeof key === "object" && key !== null && key.d !== undefined);
  if (isPrivate) throw wrong("This is a private key: only its public part belongs here.");
  if (typeof key === "string" ? !text.startsWith("-----BEGIN PUBLIC KEY-----") : !suits(key as JWK, algorithm)) {
    throw wrong(`This is no public key for ${algorithm}: it takes a JWK, or PEM that begins with BEGIN PUBLIC KEY.`);
  }
}

function secretBytes(key: JwtKey): Uint8Array {
  if (typeof key === "string") return new TextEncoder().encode(key);
  try {
    return base64url.decode(key.k ?? "");
  } catch (cause) {
    throw wrong("The secret of this JWK is not base64url.", cause);
  }
}

async function importKey(key: JwtKey, algorithm: JwtAlgorithm): Promise<OwnKey> {
  const kid = typeof key === "object" ? key.kid : undefined;
  if (isSecret(algorithm)) return { kid, key: secretBytes(key) };
  const imported = await publicKey(key, algorithm);
  const { modulusLength = RSA_BITS } = imported.algorithm as { readonly modulusLength?: number | undefined };
  if (modulusLength < RSA_BITS) throw wrong(`An RSA key has at least ${RSA_BITS} bits, not ${modulusLength}.`);
  return { kid, key: imported };
}

async function publicKey(key: JwtKey, algorithm: JwtAlgorithm): Promise<CryptoKey> {
  try {
    return (await (typeof key === "string" ? importSPKI(key, algorithm) : importJWK(key, algorithm))) as CryptoKey;
  } catch (cause) {
    throw wrong(`This key cannot be used for ${algorithm}.`, cause);
  }
}

function remoteKeys(algorithm: JwtAlgorithm, url: URL): JWTVerifyGetKey {
  if (isSecret(algorithm)) throw wrong(`A secret for ${algorithm} is not to be fetched: give it itself.`);
  if (url.protocol !== "https:" && url.hostname !== "localhost" && url.hostname !== "127.0.0.1") {
    throw wrong("A key set is fetched by https: who could change it on its way could sign tokens.");
  }
  const keys = createRemoteJWKSet(url);
  return async (header, token) => {
    try {
      return await keys(header, token);
    } catch (cause) {
      if (cause instanceof errors.JWKSNoMatchingKey || cause instanceof errors.JWKSMultipleMatchingKeys) throw cause;
      throw new QuaysideError("network", `The key set at ${url.origin} could not be fetched.`, {}, cause);
    }
  };
}
