import { type Grant, type JwtAlgorithm, type JwtKeys, type JwtOptions, jwtTokens } from "@quayside/edge";
import type { JWTPayload } from "jose";
import { afterEach, describe, expect, it, vi } from "vitest";
import { forge, inSeconds, issuerOf, signHmac, signText } from "./tokens.ts";

afterEach(() => vi.unstubAllGlobals());

const SECRET = "a secret of at least 32 bytes, or so";
const ENQUEUE = { scope: "enqueue" };

/** The rights of a token, without its time. */
async function grantOf(token: string, options: Partial<JwtOptions> = {}): Promise<Grant | undefined> {
  const granted = await grantedTo(token, options);
  if (!granted) return undefined;
  const { expiresAt, ...grant } = granted;
  expect(expiresAt).toBeGreaterThan(Date.now() - 600_000);
  return grant;
}

async function grantedTo(token: string, options: Partial<JwtOptions> = {}): Promise<Grant | undefined> {
  const auth = jwtTokens({ algorithm: "HS256", keys: SECRET, ...options });
  return auth(new Request("https://edge.test/", { headers: { authorization: `Bearer ${token}` } }), {});
}

const valid = (claims: JWTPayload = {}): JWTPayload => ({ ...ENQUEUE, exp: inSeconds(60), ...claims });
const hmac = (claims: JWTPayload = {}) => signHmac(valid(claims), SECRET);

describe("a JWT", () => {
  it.each(["HS256", "HS384", "HS512"] as const)(
    "is signed with a secret by %s, as text or as a JWK",
    async (algorithm) => {
      const secret = "x".repeat(64);
      const token = await signHmac(valid(), secret, { alg: algorithm });
      const jwk = { kty: "oct", k: btoa(secret).replaceAll("=", "") };
      for (const keys of [secret, jwk, { keys: [jwk] }]) {
        expect(await grantOf(token, { algorithm, keys })).toEqual({ scopes: ["enqueue"] });
      }
      expect(await grantOf(token, { algorithm, keys: "y".repeat(64) })).toBeUndefined();
    },
  );

  it.each([
    ["RS256", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]],
    ["ES256", ["ES256"]],
    ["ES384", ["ES384"]],
    ["ES512", ["ES512"]],
    ["EdDSA", ["EdDSA"]],
  ] as const)("is checked with a public key (%s), in PEM or as a JWK", async (kind, algorithms) => {
    const issuer = await issuerOf(kind);
    for (const algorithm of algorithms) {
      const token = await issuer.sign(valid(), { alg: algorithm });
      for (const keys of [issuer.pem, issuer.jwk, { keys: [issuer.jwk] }]) {
        expect(await grantOf(token, { algorithm, keys })).toEqual({ scopes: ["enqueue"] });
      }
    }
  });

  it("says when it ends and has begun; the tolerance is for clocks that are off, at both ends", async () => {
    const { exp: _, ...endless } = valid();
    const refused: JWTPayload[] = [
      endless,
      valid({ exp: inSeconds(-5) }),
      valid({ exp: `${inSeconds(60)}` as unknown as number }),
      valid({ exp: null as unknown as number }),
      valid({ nbf: inSeconds(30) }),
      valid({ nbf: "now" as unknown as number }),
    ];
    for (const claims of refused)
      expect(await grantOf(await signHmac(claims, SECRET)), JSON.stringify(claims)).toBeUndefined();
    for (const claims of [{ nbf: inSeconds(-5) }, { exp: inSeconds(5) }])
      expect(await grantOf(await hmac(claims))).toBeDefined();
    const tolerant = { clockTolerance: "1m" } as const;
    for (const claims of [{ nbf: inSeconds(30) }, { exp: inSeconds(-30) }]) {
      expect(await grantOf(await hmac(claims), tolerant)).toBeDefined();
    }
    for (const claims of [{ nbf: inSeconds(90) }, { exp: inSeconds(-90) }]) {
      expect(await grantOf(await hmac(claims), tolerant)).toBeUndefined();
    }
    expect(() => jwtTokens({ algorithm: "HS256", keys: SECRET, clockTolerance: "6m" })).toThrow(/clockTolerance/);
  });

  it("comes from the issuer and is for the audience that are given", async () => {
    const options = { issuer: ["https://a.example", "https://b.example"], audience: "https://api.example" };
    const right: JWTPayload = { iss: "https://b.example", aud: ["https://other.example", "https://api.example"] };
    expect(await grantOf(await hmac(right), options)).toBeDefined();
    for (const wrong of [{ iss: "" }, { iss: "https://c.example" }, { iss: 1 as never }]) {
      expect(await grantOf(await hmac({ ...right, ...wrong }), options)).toBeUndefined();
    }
    const { aud: _, ...unaimed } = right;
    const { iss: __, ...nobodys } = right;
    for (const claims of [unaimed, nobodys]) expect(await grantOf(await hmac(claims), options)).toBeUndefined();
    for (const aud of ["", "https://other.example", [], { "https://api.example": 1 } as never]) {
      expect(await grantOf(await hmac({ ...right, aud }), options)).toBeUndefined();
    }
    expect(() => jwtTokens({ algorithm: "HS256", keys: SECRET, audience: [] })).toThrow(/audience/);
    expect(() => jwtTokens({ algorithm: "HS256", keys: SECRET, issuer: "" })).toThrow(/issuer/);
  });

  it("is nothing when it is not signed, or with another algorithm than the server's", async () => {
    const rsa = await issuerOf("RS256");
    const byKey = { algorithm: "RS256", keys: rsa.pem } as const;
    expect(await grantOf(await rsa.sign(valid()), byKey)).toBeDefined();
    const refused = [
      ...(await Promise.all(["none", "None", "NONE", "", undefined, null, 0].map((alg) => forge({ alg }, valid())))),
      // Signed with what everybody knows: the public key, in each of its forms.
      await forge({ alg: "HS256" }, valid(), rsa.pem),
      await forge({ alg: "HS256" }, valid(), rsa.pem.trim()),
      await forge({ alg: "HS256" }, valid(), JSON.stringify(rsa.jwk)),
      await forge({ alg: "RS256" }, valid(), rsa.pem),
      await rsa.sign(valid(), { alg: "RS512" }),
      await rsa.sign(valid(), { alg: "PS256" }),
      // By a key that it brings along itself.
      await (await issuerOf("RS256")).sign(valid(), { jwk: rsa.jwk } as object),
    ];
    for (const token of refused) expect(await grantOf(token, byKey), token).toBeUndefined();
    expect(await grantOf(await hmac(), { algorithm: "HS512", keys: SECRET.repeat(2) })).toBeUndefined();
  });

  it("is nothing when it was changed, cut or made up", async () => {
    const token = await hmac();
    const [header = "", payload = "", signature = ""] = token.split(".");
    const [other = ""] = (await hmac({ scope: "admin" })).split(".").slice(1);
    const b64 = (value: object) => btoa(JSON.stringify(value)).replaceAll("=", "");
    const refused = [
      `${header}.${other}.${signature}`,
      `${header}.${payload}.`,
      `${header}.${payload}`,
      `${header}.${payload}.${signature}.`,
      `${header}.${payload}.${signature.slice(0, -2)}`,
      `.${payload}.${signature}`,
      `${btoa("[]")}.${payload}.${signature}`,
      `${b64({ alg: "HS256", crit: ["exp"], exp: 1 })}.${payload}.${signature}`,
      `${b64({ alg: "HS256", crit: ["b64"], b64: false })}.${payload}.${signature}`,
      "..",
      "a.b.c",
      "x".repeat(10_000),
      "\u00ff.\u00ff.\u00ff",
      await signText("7", SECRET),
      await signText("[]", SECRET),
      await signText("not JSON", SECRET),
    ];
    for (const wrong of refused) expect(await grantOf(wrong), wrong.slice(0, 80)).toBeUndefined();
    expect(await grantOf(token)).toBeDefined();
  });
});

describe("the keys of JWTs", () => {
  it("may be several while they change: those of a token's kid, and those without one", async () => {
    const [old, current, stranger] = await Promise.all(["ES256", "ES256", "ES256"].map(issuerOf));
    const keys = {
      keys: [
        { ...old?.jwk, kid: "old" },
        { ...current?.jwk, kid: "new" },
      ],
    } as JwtKeys;
    const shown = async (issuer: typeof old, kid?: string) =>
      (await grantOf((await issuer?.sign(valid(), kid === undefined ? {} : { kid })) ?? "", {
        algorithm: "ES256",
        keys,
      })) !== undefined;
    expect(await shown(old, "old")).toBe(true);
    expect(await shown(current, "new")).toBe(true);
    expect(await shown(current)).toBe(true);
    expect(await shown(current, "old")).toBe(false);
    expect(await shown(current, "nobody's")).toBe(false);
    expect(await shown(stranger, "new")).toBe(false);
    expect(await shown(stranger)).toBe(false);
    const secrets = [SECRET, "another secret of 32 bytes or more"];
    for (const secret of secrets)
      expect(await grantOf(await signHmac(valid(), secret), { keys: secrets })).toBeDefined();
  });

  it("of a published set are those for these signatures", async () => {
    const [rsa, ec] = await Promise.all([issuerOf("RS256"), issuerOf("ES256")]);
    const keys = { keys: [ec.jwk, { ...rsa.jwk, use: "enc" }, { ...rsa.jwk, alg: "RS512" }, rsa.jwk] };
    expect(await grantOf(await rsa.sign(valid()), { algorithm: "RS256", keys })).toBeDefined();
    expect(() => jwtTokens({ algorithm: "EdDSA", keys })).toThrow(/no key for EdDSA/);
  });

  it("come from the Worker's secrets, and are read again when those change", async () => {
    const auth = jwtTokens<{ SECRET: string }>({ algorithm: "HS256", keys: (env) => env.SECRET });
    const by = async (token: string, secret: string) =>
      (await auth(new Request("https://edge.test/", { headers: { authorization: `Bearer ${token}` } }), {
        SECRET: secret,
      })) !== undefined;
    const other = "another secret of 32 bytes or more";
    expect(await by(await hmac(), SECRET)).toBe(true);
    expect(await by(await hmac(), other)).toBe(false);
    expect(await by(await signHmac(valid(), other), other)).toBe(true);
    expect(await by(await hmac(), SECRET)).toBe(true);
  });

  it("may be fetched: once, and again for a kid that is new", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    try {
      const [old, next] = await Promise.all([issuerOf("ES256"), issuerOf("ES256")]);
      let published = [{ ...old.jwk, kid: "1" }];
      const fetched = vi.fn(async () => Response.json({ keys: published }));
      vi.stubGlobal("fetch", fetched);
      const auth = jwtTokens({ algorithm: "ES256", keys: new URL("https://login.example/jwks.json") });
      const shown = async (token: string) =>
        (await auth(new Request("https://edge.test/", { headers: { authorization: `Bearer ${token}` } }), {})) !==
        undefined;
      const signed = (issuer: typeof old, kid: string) => issuer.sign(valid({ exp: inSeconds(3_600) }), { kid });

      expect(await shown(await signed(old, "1"))).toBe(true);
      expect(await shown(await signed(old, "1"))).toBe(true);
      expect(fetched).toHaveBeenCalledTimes(1);
      // Whoever makes up names of keys does not make it fetch and fetch.
      for (let guess = 0; guess < 5; guess++) expect(await shown(await signed(next, `guess-${guess}`))).toBe(false);
      expect(fetched).toHaveBeenCalledTimes(1);
      // What does not even claim to be of its algorithm is not worth a fetch.
      vi.setSystemTime(Date.now() + 31_000);
      expect(await shown(await forge({ alg: "none", kid: "2" }, valid()))).toBe(false);
      expect(await shown(await forge({ alg: "HS256", kid: "2" }, valid(), old.pem))).toBe(false);
      expect(fetched).toHaveBeenCalledTimes(1);
      published = [...published, { ...next.jwk, kid: "2" }];
      expect(await shown(await signed(next, "2"))).toBe(true);
      expect(fetched).toHaveBeenCalledTimes(2);
    } finally {
      vi.useRealTimers();
    }
  });

  it("that cannot be fetched are the network's fault, and not the caller's", async () => {
    const issuer = await issuerOf("ES256");
    const token = await issuer.sign(valid(), { kid: "1" });
    const keys = new URL("https://login.example/jwks.json");
    const answers = [
      () => Promise.reject(new TypeError("fetch failed")),
      async () => new Response("", { status: 500 }),
      async () => new Response("<html>"),
      async () => Response.json({ keys: "none" }),
    ];
    for (const answer of answers) {
      vi.stubGlobal("fetch", answer);
      await expect(grantOf(token, { algorithm: "ES256", keys })).rejects.toMatchObject({ code: "network" });
    }
  });

  const rsaOf = async (bits: number) => {
    const pair = (await crypto.subtle.generateKey(
      { name: "RSASSA-PKCS1-v1_5", modulusLength: bits, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" },
      true,
      ["sign", "verify"],
    )) as CryptoKeyPair;
    return (await crypto.subtle.exportKey("jwk", pair.publicKey)) as JwtKeys;
  };

  it.each<[what: string, algorithm: JwtAlgorithm, keys: unknown, message: RegExp]>([
    ["missing", "HS256", undefined, /missing/],
    ["missing", "HS256", "", /missing/],
    ["missing", "HS256", "undefined", /missing/],
    ["missing", "RS256", null, /missing/],
    ["missing among others", "HS256", [SECRET, undefined], /missing/],
    ["none at all", "HS256", [], /no key/],
    ["none at all", "HS256", { keys: [] }, /no key/],
    ["a byte too short", "HS256", "x".repeat(31), /at least 32 bytes, not 31/],
    ["too short", "HS384", "x".repeat(32), /at least 48 bytes/],
    ["too short", "HS512", "x".repeat(63), /at least 64 bytes/],
    ["too short", "HS256", { kty: "oct", k: "eHh4" }, /at least 32 bytes, not 3/],
    ["no base64url", "HS256", { kty: "oct", k: "!" }, /base64url/],
    ["a public key in place of a secret", "HS256", `-----BEGIN PUBLIC KEY-----\n${"A".repeat(90)}`, /PEM/],
    ["a public key in place of a secret", "HS256", { kty: "RSA", n: "AQAB", e: "AQAB" }, /no secret for HS256/],
    ["a secret in place of a public key", "RS256", SECRET, /no public key/],
    ["a private key", "RS256", `-----BEGIN PRIVATE KEY-----\n${"A".repeat(90)}`, /private/],
    ["a private key", "ES256", { kty: "EC", crv: "P-256", x: "AQ", y: "AQ", d: "AQ" }, /private/],
    ["of another kind", "ES256", { kty: "RSA", n: "AQAB", e: "AQAB" }, /no public key for ES256/],
    ["for another algorithm", "RS256", { kty: "RSA", n: "AQAB", e: "AQAB", alg: "PS256" }, /no public key for RS256/],
    ["a secret to be fetched", "HS256", new URL("https://login.example/"), /fetched/],
    ["fetched in the clear", "RS256", new URL("http://login.example/jwks.json"), /https/],
  ])("are refused where they are written when %s (%s)", (_, algorithm, keys, message) => {
    expect(() => jwtTokens({ algorithm, keys: keys as JwtKeys })).toThrow(message);
    try {
      jwtTokens({ algorithm, keys: keys as JwtKeys });
    } catch (error) {
      expect(error).toMatchObject({ code: "invalid_option" });
      expect(String(error)).not.toContain(SECRET);
    }
  });

  it("are refused at first use when only then it shows, and always when they come from secrets", async () => {
    const invalid = { code: "invalid_option" };
    const token = await hmac();
    await expect(grantOf(token, { keys: () => undefined as never })).rejects.toMatchObject(invalid);
    await expect(grantOf(token, { keys: () => "short" })).rejects.toMatchObject(invalid);
    await expect(grantOf(token, { algorithm: "RS256", keys: await rsaOf(1_024) })).rejects.toMatchObject(invalid);
    const broken = {
      algorithm: "RS256",
      keys: "-----BEGIN PUBLIC KEY-----\nnot base64\n-----END PUBLIC KEY-----",
    } as const;
    await expect(grantOf(token, broken)).rejects.toMatchObject(invalid);
  });
});

describe("what a JWT grants", () => {
  it("is by default what scope and queues say, and nothing that it does not know", async () => {
    expect(await grantOf(await hmac({ scope: "openid enqueue work  email" }))).toEqual({ scopes: ["enqueue", "work"] });
    expect(await grantOf(await hmac({ queues: ["mail", "sms"] }))).toEqual({
      scopes: ["enqueue"],
      queues: ["mail", "sms"],
    });
    expect(await grantOf(await hmac({ queues: [] }))).toEqual({ scopes: ["enqueue"], queues: [] });
    expect(await grantOf(await hmac({ scope: "" }))).toEqual({ scopes: [] });
    for (const wrong of [
      { scope: undefined },
      { scope: ["admin"] },
      { queues: "mail" },
      { queues: [1] },
      { queues: null },
    ]) {
      expect(await grantOf(await hmac(wrong)), JSON.stringify(wrong)).toBeUndefined();
    }
  });

  it("is what the application makes of its claims", async () => {
    const grant: JwtOptions["grant"] = ({ plan }) => (plan === "pro" ? { scopes: ["work"] } : undefined);
    expect(await grantOf(await hmac({ plan: "pro" }), { grant })).toEqual({ scopes: ["work"] });
    expect(await grantOf(await hmac({ plan: "free" }), { grant })).toBeUndefined();
    const never = vi.fn();
    expect(await grantOf(await signHmac(valid(), "x".repeat(32)), { grant: never })).toBeUndefined();
    expect(never).not.toHaveBeenCalled();
  });

  it("has a subject of who issued it to whom, unless the application says one", async () => {
    const subject = async (claims: JWTPayload, options?: Partial<JwtOptions>) =>
      (await grantOf(await hmac(claims), options))?.subject;
    expect(await subject({ sub: "ada" })).toBe("jwt: ada");
    expect(await subject({ sub: "ada", iss: "https://a.example" })).toBe("jwt:https://a.example ada");
    expect(await subject({})).toBeUndefined();
    expect(await subject({ sub: "ada" }, { grant: () => ({ scopes: [], subject: "team" }) })).toBe("team");
    for (const sub of ["", 7 as never, "x".repeat(300), "\ud800"]) {
      expect(await grantOf(await hmac({ sub })), JSON.stringify(sub)).toBeUndefined();
    }
  });

  it("ends with the token, after the tolerance, or sooner where the application says so", async () => {
    const exp = inSeconds(60);
    const endOf = async (options?: Partial<JwtOptions>) => (await grantedTo(await hmac({ exp }), options))?.expiresAt;
    expect(await endOf()).toBe(exp * 1_000);
    expect(await endOf({ clockTolerance: "5s" })).toBe((exp + 5) * 1_000);
    expect(await endOf({ grant: () => ({ scopes: [], expiresAt: 7 }) })).toBe(7);
    expect(await endOf({ grant: () => ({ scopes: [], expiresAt: exp * 2_000 }) })).toBe(exp * 1_000);
  });

  it("with a quota needs a subject: nobody's quota would be nobody's to spend", async () => {
    const grant: JwtOptions["grant"] = () => ({ scopes: ["enqueue"], quota: { jobs: 1, per: "1s" } });
    expect(await grantOf(await hmac(), { grant })).toBeUndefined();
    expect(await grantOf(await hmac({ sub: "ada" }), { grant })).toMatchObject({ subject: "jwt: ada" });
  });
});
