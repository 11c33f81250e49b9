import {
  base64url,
  CompactSign,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  importJWK,
  type JWK,
  type JWTPayload,
  SignJWT,
} from "jose";

/** Who signs tokens: its public key in both forms, and its hand. */
export interface Issuer {
  readonly pem: string;
  readonly jwk: JWK;
  sign(claims: JWTPayload, header?: { readonly alg?: string; readonly kid?: string }): Promise<string>;
}

/** An issuer with new keys. `alg` is what it signs with, unless it is told another of the same kind of key. */
export async function issuerOf(alg: string): Promise<Issuer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const secret = await exportJWK(privateKey);
  return {
    pem: await exportSPKI(publicKey),
    jwk: await exportJWK(publicKey),
    sign: async (claims, header = {}) => {
      const own = { alg, ...header };
      return new SignJWT(claims).setProtectedHeader(own).sign(await importJWK(secret, own.alg));
    },
  };
}

/** A token signed with a secret. */
export const signHmac = (
  claims: JWTPayload,
  secret: string,
  header: { readonly alg?: string; readonly kid?: string } = {},
): Promise<string> =>
  new SignJWT(claims).setProtectedHeader({ alg: "HS256", ...header }).sign(new TextEncoder().encode(secret));

/** A token whose header is as it is given, whatever it claims, signed with a secret: what an attacker can make. */
export async function forge(header: object, claims: object, secret?: string): Promise<string> {
  const text = (value: object) => base64url.encode(JSON.stringify(value));
  const signed = `${text(header)}.${text(claims)}`;
  if (secret === undefined) return `${signed}.`;
  const key = await crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode(secret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const signature = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(signed));
  return `${signed}.${base64url.encode(new Uint8Array(signature))}`;
}

/** Seconds since epoch, so many from now. */
export const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1_000) + seconds;

/** A token whose payload is no set of claims, signed all the same. */
export const signText = (text: string, secret: string): Promise<string> =>
  new CompactSign(new TextEncoder().encode(text))
    .setProtectedHeader({ alg: "HS256" })
    .sign(new TextEncoder().encode(secret));
