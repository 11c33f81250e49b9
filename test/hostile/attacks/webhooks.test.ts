import { QuaysideError } from "@quayside/core";
import { verifyWebhook, webhook } from "@quayside/edge/webhook";
import { Webhook } from "standardwebhooks";
import { attacks, odd, outcome, refusal } from "./kit.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HERE = "https://books.example/hooks";
const JSON_TYPE = { "content-type": "application/json" };

attacks("U: what a receiver answers", (row) => {
  const answers: readonly (readonly [input: string, came: string, answer: () => unknown])[] = [
    ["200 and null", "completed with null (1 runs, 1 of 2)", () => new Response("null", { headers: JSON_TYPE })],
    ["200 and false", "completed with false (1 runs, 1 of 2)", () => new Response("false", { headers: JSON_TYPE })],
    ["200 and -0", "completed with 0 (1 runs, 1 of 2)", () => new Response("-0", { headers: JSON_TYPE })],
    ["200 and -1e999", "completed (1 runs, 1 of 2)", () => new Response("-1e999", { headers: JSON_TYPE })],
    ["200 and NaN", "completed (1 runs, 1 of 2)", () => new Response("NaN", { headers: JSON_TYPE })],
    ["200 and white space", "completed (1 runs, 1 of 2)", () => new Response(" \n", { headers: JSON_TYPE })],
    ["200 and two values", "completed (1 runs, 1 of 2)", () => new Response("1 2", { headers: JSON_TYPE })],
    ["200 and a byte order mark", "completed (1 runs, 1 of 2)", () => new Response("\ufeff1", { headers: JSON_TYPE })],
    [
      "200 and half a character",
      "completed with \ud800 (1 runs, 1 of 2)",
      () => new Response('"\\ud800"', { headers: JSON_TYPE }),
    ],
    [
      "200 and U+0000",
      "completed with \u0000 (1 runs, 1 of 2)",
      () => new Response('"\\u0000"', { headers: JSON_TYPE }),
    ],
    [
      "200 and an own __proto__",
      'completed with {"__proto__":{"a":1}} (1 runs, 1 of 2)',
      () => new Response('{"__proto__":{"a":1}}', { headers: JSON_TYPE }),
    ],
    [
      "200 and a toJSON that is a text",
      'completed with {"toJSON":"x"} (1 runs, 1 of 2)',
      () => new Response('{"toJSON":"x"}', { headers: JSON_TYPE }),
    ],
    [
      "200 and a then that is a text",
      'completed with {"then":"x"} (1 runs, 1 of 2)',
      () => new Response('{"then":"x"}', { headers: JSON_TYPE }),
    ],
    [
      "200 and 100 levels",
      `completed with ${"[".repeat(100)}${"]".repeat(50)}[200 in all] (1 runs, 1 of 2)`,
      () => new Response(`${"[".repeat(100)}${"]".repeat(100)}`, { headers: JSON_TYPE }),
    ],
    [
      "200 and JSON in capitals",
      "completed with 1 (1 runs, 1 of 2)",
      () => new Response("1", { headers: { "content-type": "APPLICATION/JSON" } }),
    ],
    [
      "200 and problem+json",
      "completed with 1 (1 runs, 1 of 2)",
      () => new Response("1", { headers: { "content-type": "application/problem+json" } }),
    ],
    [
      "200 and jsonp",
      "completed (1 runs, 1 of 2)",
      () => new Response("1", { headers: { "content-type": "application/jsonp" } }),
    ],
    ["200 and no type", "completed (1 runs, 1 of 2)", () => new Response(new Uint8Array([0x31]))],
    [
      "200 whose body was read",
      "completed (1 runs, 1 of 2)",
      () => {
        const read = new Response("1", { headers: JSON_TYPE });
        void read.text();
        return read;
      },
    ],
    [
      "200 whose body is locked",
      "completed (1 runs, 1 of 2)",
      () => {
        const held = new Response("1", { headers: JSON_TYPE });
        held.body?.getReader();
        return held;
      },
    ],
    ["205", "completed (1 runs, 1 of 2)", () => new Response(null, { status: 205 })],
    ["299", "completed (1 runs, 1 of 2)", () => new Response(null, { status: 299 })],
    [
      "300",
      "failed handler_failed: https://books.example answered 300 (redirects are not followed) (2 runs, 2 of 2)",
      () => new Response(null, { status: 300 }),
    ],
    [
      "304",
      "failed handler_failed: https://books.example answered 304 (redirects are not followed) (2 runs, 2 of 2)",
      () => new Response(null, { status: 304 }),
    ],
    [
      "400",
      "failed handler_failed: https://books.example answered 400: no (2 runs, 2 of 2)",
      () => new Response("no", { status: 400 }),
    ],
    [
      "410",
      "failed unrecoverable: https://books.example answered 410: no (1 runs, 1 of 2)",
      () => new Response("no", { status: 410 }),
    ],
    [
      "500 with 1 MB",
      "failed handler_failed: https://books.example answered 500 (2 runs, 2 of 2)",
      () => new Response("x".repeat(1_000_000), { status: 500 }),
    ],
    [
      "599",
      "failed handler_failed: https://books.example answered 599 (2 runs, 2 of 2)",
      () => new Response(null, { status: 599 }),
    ],
    [
      "an error of the network",
      "failed handler_failed: https://books.example answered 0 (2 runs, 2 of 2)",
      () => Response.error(),
    ],
    [
      "nothing",
      "failed handler_failed: https://books.example could not be reached: TypeError: Cannot read properties of undefined (reading 'ok') (2 runs, 2 of 2)",
      () => undefined,
    ],
    ["a text", "failed handler_failed: https://books.example answered undefined (2 runs, 2 of 2)", () => "200"],
    [
      "an object",
      "failed handler_failed: https://books.example could not be reached: TypeError: Cannot read properties of undefined (reading 'get') (2 runs, 2 of 2)",
      () => ({ ok: true }),
    ],
    [
      "a rejection with nothing",
      "failed handler_failed: https://books.example could not be reached: undefined (2 runs, 2 of 2)",
      () => Promise.reject(undefined),
    ],
    [
      "a rejection with a symbol",
      "failed handler_failed: https://books.example could not be reached: Symbol(s) (2 runs, 2 of 2)",
      () => Promise.reject(Symbol("s")),
    ],
  ];
  for (const [input, came, answer] of answers)
    row(input, came, ({ ends }) =>
      ends(webhook({ url: HERE, secrets: SECRET, fetch: async () => odd(await answer()) }) as never, {
        maxAttempts: 2,
        backoff: 0,
      }),
    );
});

attacks("U: options of a webhook", (row) => {
  const options: readonly (readonly [input: string, came: string, options: object])[] = [
    ["allow: a Set", "refused invalid_option, names allow", { allow: new Set(["books.example"]) }],
    ["allow: null", "refused invalid_option, names allow", { allow: null }],
    ["allow: a host with a space", "refused invalid_option, names allow", { allow: ["books .example"] }],
    ["allow: a wildcard in the middle", "refused invalid_option, names allow", { allow: ["a.*.example"] }],
    ["allow: two wildcards", "refused invalid_option, names allow", { allow: ["*.*.example"] }],
    ["allow: a bare IPv6 address", "refused invalid_option, names allow", { allow: ["::1"] }],
    ["allow: a port beyond 65535", "refused invalid_option, names allow", { allow: ["books.example:65536"] }],
    ["allow: the host of another", "refused invalid_option, names url", { allow: ["book.example"] }],
    ["headers: null", "refused invalid_option, names headers", { headers: null }],
    ["headers: a number", "refused invalid_option, names headers", { headers: 7 }],
    ["headers: a value with U+0000", "refused invalid_option, names headers", { headers: { a: "\0" } }],
    ["headers: a name in Unicode", "refused invalid_option, names headers", { headers: { é: "1" } }],
    ["timeout: -1", "refused invalid_option, names timeout", { timeout: -1 }],
    ["timeout: NaN", "refused invalid_option, names timeout", { timeout: Number.NaN }],
    ["resultBytes: 2^60", "refused invalid_option, names resultBytes", { resultBytes: 2 ** 60 }],
    ["url: nothing", "refused invalid_option, names url", { url: undefined }],
    ["url: a URL object", "refused invalid_option, names url", { url: new URL(HERE) }],
    ["url: javascript:", "refused invalid_option, names url", { url: "javascript:alert(1)" }],
    ["url: data:", "refused invalid_option, names url", { url: "data:,x" }],
    ["url: file:", "refused invalid_option, names url", { url: "file:///etc/passwd" }],
    ["url: ws:", "refused invalid_option, names url", { url: "wss://books.example/" }],
    ["url: a user without a password", "refused invalid_option, names url", { url: "https://a@books.example/" }],
    ["secrets: an empty list", "refused invalid_option, names secrets", { secrets: [] }],
  ];
  for (const [input, came, given] of options)
    row(input, came, () => outcome(() => void webhook({ url: HERE, secrets: SECRET, ...given } as never)));
});

attacks("U: a request to verifyWebhook", (row) => {
  const body = JSON.stringify({ type: "a", timestamp: "t", data: 1, id: "1", queue: "q" });
  const now = Math.floor(Date.now() / 1_000);
  const sign = (text: string) => new Webhook(SECRET).sign("m", new Date(now * 1_000), text);
  const requests: readonly (readonly [input: string, came: string, headers: object, text?: string])[] = [
    ["as it should be", "taken", {}],
    ["a signature of another version", "refused unauthorized", { "webhook-signature": sign(body).replace("v1", "v2") }],
    ["a signature without its version", "refused unauthorized", { "webhook-signature": sign(body).slice(3) }],
    ["a version without its signature", "refused unauthorized", { "webhook-signature": "v1" }],
    ["a cut signature", "refused unauthorized", { "webhook-signature": sign(body).slice(0, -1) }],
    [
      "5,000 wrong signatures, then the right one",
      "taken",
      { "webhook-signature": `${"v1,AAAA ".repeat(5_000)}${sign(body)}` },
    ],
    ["an id with a dot", "refused unauthorized", { "webhook-id": "m.1" }],
    ["a time stamp of 13 digits", "refused unauthorized", { "webhook-timestamp": `${now}000` }],
    ["a list as its body", "refused bad_request", {}, "[]"],
    ["a number as its body", "refused bad_request", {}, "7"],
    ["a type that is a number", "refused bad_request", {}, body.replace('"a"', "7")],
    ["an empty body", "refused bad_request", {}, ""],
  ];
  for (const [input, came, headers, text = body] of requests)
    row(input, came, async () => {
      const signed = { "webhook-id": "m", "webhook-timestamp": String(now), "webhook-signature": sign(text) };
      const request = new Request(HERE, { method: "POST", headers: { ...signed, ...headers }, body: text });
      return verifyWebhook(request, SECRET).then(
        () => "taken",
        (error) => (error instanceof QuaysideError ? `refused ${error.code}` : refusal(error)),
      );
    });
});
