import { QuaysideError } from "@quayside/core";
import { type AllowedUrls, verifyWebhook, webhook } from "@quayside/edge/webhook";
import { Webhook } from "standardwebhooks";
import { attacks, odd, outcome, refusal } from "./kit.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const REFUSED = "refused invalid_option, names url";
const SENT = "https://x.example/, 1 time";

/** A job whose payload names its receiver: what is fetched, if anything is. */
async function reached(url: unknown, allow?: unknown): Promise<string> {
  const fetched: string[] = [];
  const handler = webhook({
    url: () => odd<string>(url),
    secrets: SECRET,
    ...(allow !== undefined && { allow: odd<AllowedUrls>(allow) }),
    fetch: async (input) => {
      fetched.push(String(input));
      return new Response(null, { status: 204 });
    },
  });
  try {
    await handler(
      odd({ a: 1 }),
      odd({
        attempt: 1,
        signal: new AbortController().signal,
        job: { id: "job", name: "odd", queue: "mail", addedAt: 0, payload: { a: 1 } },
      }),
    );
  } catch (error) {
    return refusal(error) + (fetched.length > 0 ? `, after ${fetched}` : "");
  }
  return `${fetched}, ${fetched.length} time`;
}

attacks("U: a receiver that is not to be reached, by other spellings", (row) => {
  const hosts: readonly string[] = [
    "127.0.0.1.",
    "127.0.0.1..",
    "127.0.1",
    "127.0x0.0.1",
    "0177.0.0.01",
    "0x7f.1",
    "0x7F000001",
    "017700000001",
    "2130706433.",
    "１２７.0.0.1",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "%31%32%37.0.0.1",
    "LOCALHOST",
    "localhost.",
    "a.b.localhost",
    "a.LOCALHOST.",
    "ｌｏｃａｌｈｏｓｔ",
    "local\thost",
    "loc\u00adalhost",
    "loc\u200balhost",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::0001]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:127.255.255.254]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::10.0.0.1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fdff::1]",
    "[ff02::1]",
    "[100::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "0",
    "0.0.0.0",
    "00000000000",
    "0x0",
    "10.1",
    "0xa.1",
    "012.0.0.1",
    "167772161",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.169.254",
    "0xA9FEA9FE",
    "2852039166",
    "0251.0376.0251.0376",
    "169.254.43518",
    "172.16.0.1",
    "172.31.255.255",
    "172.2097151",
    "192.168.0.1",
    "192.11010049",
    "3232235521",
    "192.0.0.170",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "224.0.0.1",
    "255.255.255.255",
    "0xffffffff",
    "4294967295",
    "240.0.0.1",
  ];
  for (const host of hosts) row(`https: ${JSON.stringify(host)}`, REFUSED, () => reached(`https://${host}/`));
  const urls: readonly string[] = [
    "https:127.0.0.1",
    "https:\\\\127.0.0.1\\",
    "https:/\\localhost",
    "https:///localhost/",
    " https://localhost/ ",
    "\u0000https://localhost",
    "ht\ntps://localhost/",
    "HTTPS://localhost:443/",
    "https://x.example@localhost/",
    "https://x.example:443@127.0.0.1/",
    "https://:b@x.example/",
    "https://x.example\\@localhost/".replace("x.example\\", "u:p"),
    "//x.example/",
    "x.example",
    "/hook",
    "",
    "https://",
    "https://x.example:65536/",
    "https://x.example:-1/",
    "https://[::1",
    "https://[::1%25eth0]/",
    "https://256.0.0.1/",
    "https://1.2.3.4.5/",
    "https://0x100000000/",
    "https://a b.example/",
    "https://x.example%2f@127.0.0.1/",
    "https://\ud800.example/",
    "http://x.example/",
    "http://10.0.0.1/",
    "blob:https://x.example/1",
    "view-source:https://x.example/",
    "ftp://x.example/",
    "about:blank",
    "wss://x.example/",
  ];
  for (const url of urls) row(`URL ${JSON.stringify(url)}`, REFUSED, () => reached(url));
});

attacks("U: a receiver's URL that is no text", (row) => {
  const values: readonly (readonly [string, unknown])[] = [
    ["null", null],
    ["undefined", undefined],
    ["7", 7],
    ["true", true],
    ["a list of one", ["https://x.example/"]],
    ["a URL", new URL("https://x.example/")],
    ["a String object", new String("https://x.example/")],
    ["an object with toString", { toString: () => "https://x.example/" }],
    ["a symbol", Symbol("u")],
    ["1n", 1n],
    ["an object that holds itself", itself()],
    ["an object whose toJSON throws", { toJSON: thrown }],
    ["an object without a prototype", Object.create(null)],
    ["a function", () => "https://x.example/"],
  ];
  for (const [input, value] of values) row(input, REFUSED, () => reached(value));
});

attacks("U: what allow takes and leaves", (row) => {
  const tries: readonly (readonly [input: string, came: string, url: string, allow: unknown])[] = [
    ["itself", SENT, "https://x.example/", ["x.example"]],
    ["in capitals", SENT, "https://x.example/", ["X.EXAMPLE"]],
    ["in capitals, of a URL in capitals", SENT, "HTTPS://X.EXAMPLE", ["x.example"]],
    ["with the usual port", SENT, "https://x.example:443/", ["x.example:443"]],
    ["another port", "refused invalid_option, names url", "https://x.example:8443/", ["x.example:9443"]],
    ["a parent itself, which is not under it", REFUSED, "https://x.example/", ["*.x.example"]],
    ["a name that ends alike", REFUSED, "https://evilx.example/", ["*.x.example"]],
    ["a name that ends alike, without a star", REFUSED, "https://evilx.example/", ["x.example"]],
    ["a name under it that was not starred", REFUSED, "https://a.x.example/", ["x.example"]],
    ["it as a prefix", REFUSED, "https://x.example.evil.example/", ["x.example"]],
    ["it as a user", REFUSED, "https://x.example@evil.example/", ["x.example"]],
    ["it in the path", REFUSED, "https://evil.example/x.example", ["x.example"]],
    ["it in the fragment", REFUSED, "https://evil.example#@x.example/", ["x.example"]],
    ["it behind a backslash", REFUSED, "https://evil.example\\@x.example/", ["x.example"]],
    ["a private address that is named", REFUSED, "https://10.0.0.1/", ["10.0.0.1"]],
    ["a link-local address by a function", REFUSED, "https://169.254.169.254/", () => true],
    ["plain http by a function", REFUSED, "http://x.example/", () => true],
    ["credentials by a function", REFUSED, "https://a:b@x.example/", () => true],
    ["a function that says 1", "refused invalid_option, names allow", "https://x.example/", () => 1],
    ["a function that promises", "refused invalid_option, names allow", "https://x.example/", async () => true],
    ["a function that says nothing", "refused invalid_option, names allow", "https://x.example/", () => {}],
    [
      "a function that sends it elsewhere",
      SENT,
      "https://x.example/",
      (url: URL) => {
        url.hostname = "10.0.0.1";
        url.protocol = "http:";
        return true;
      },
    ],
    ["a function that throws", "raw Error: no", "https://x.example/", thrown],
    ["a list of 1n", "refused invalid_option, names allow", "https://x.example/", [1n]],
    ["a list of what holds itself", "refused invalid_option, names allow", "https://x.example/", [itself()]],
    ["a list of a symbol", "refused invalid_option, names allow", "https://x.example/", [Symbol("x.example")]],
    ["a list with a hole", "refused invalid_option, names allow", "https://x.example/", ["x.example", undefined]],
    ["a list of an empty text", "refused invalid_option, names allow", "https://x.example/", [""]],
    ["a list of a star", "refused invalid_option, names allow", "https://x.example/", ["*"]],
    ["a list of *.", "refused invalid_option, names allow", "https://x.example/", ["*."]],
    ["a list of a URL", "refused invalid_option, names allow", "https://x.example/", ["https://x.example"]],
    ["a list of a user and a host", "refused invalid_option, names allow", "https://x.example/", ["a@x.example"]],
    ["a star before an address", "refused invalid_option, names allow", "https://x.example/", ["*.127.0.0.1"]],
    ["a star before localhost", "refused invalid_option, names allow", "https://x.example/", ["*.localhost"]],
    [
      "a list like an array",
      "refused invalid_option, names allow",
      "https://x.example/",
      { 0: "x.example", length: 1 },
    ],
  ];
  for (const [input, came, url, allow] of tries) row(input, came, () => outcome(() => reached(url, allow)));
});

function thrown(): never {
  throw new Error("no");
}

function itself(): object {
  const value: Record<string, unknown> = {};
  value["value"] = value;
  return value;
}

attacks("U: headers of a request to verifyWebhook", (row) => {
  const body = JSON.stringify({ type: "a", timestamp: "t", data: 1, id: "1", queue: "q" });
  const now = Math.floor(Date.now() / 1_000);
  const BAD = "refused unauthorized";
  type Try = readonly [input: string, came: string, headers: Record<string, string | null>, options?: object];
  const tries: readonly Try[] = [
    ["a time stamp with a sign", BAD, { "webhook-timestamp": `+${now}` }],
    ["a time stamp with a fraction", BAD, { "webhook-timestamp": `${now}.0` }],
    ["a time stamp in hexadecimal", BAD, { "webhook-timestamp": `0x${now.toString(16)}` }],
    ["a time stamp with an exponent", BAD, { "webhook-timestamp": `${now / 10}e1` }],
    ["a time stamp with a leading zero", BAD, { "webhook-timestamp": `0${now}` }],
    ["two time stamps", BAD, { "webhook-timestamp": `${now}, ${now}` }],
    ["a time stamp in the digits of Arabic, as bytes", BAD, { "webhook-timestamp": "\u00d9\u00a1" }],
    ["a time stamp of -1", BAD, { "webhook-timestamp": "-1" }],
    ["a time stamp of 0", BAD, { "webhook-timestamp": "0" }],
    ["a time stamp of six minutes ago", BAD, { "webhook-timestamp": `${now - 360}` }],
    ["a time stamp in six minutes", BAD, { "webhook-timestamp": `${now + 360}` }],
    ["no id", BAD, { "webhook-id": null }],
    ["no time stamp", BAD, { "webhook-timestamp": null }],
    ["no signature", BAD, { "webhook-signature": null }],
    ["an empty id", BAD, { "webhook-id": "" }],
    ["another's id", BAD, { "webhook-id": "n" }],
    ["attempt 0", "refused bad_request", { "quayside-attempt": "0" }],
    ["attempt -1", "refused bad_request", { "quayside-attempt": "-1" }],
    ["attempt 1.5", "refused bad_request", { "quayside-attempt": "1.5" }],
    ["attempt 1e3", "refused bad_request", { "quayside-attempt": "1e3" }],
    ["attempt 01", "refused bad_request", { "quayside-attempt": "01" }],
    ["attempt Infinity", "refused bad_request", { "quayside-attempt": "Infinity" }],
    ["an empty attempt", "refused bad_request", { "quayside-attempt": "" }],
    ["attempts 1, 2", "refused bad_request", { "quayside-attempt": "1, 2" }],
    ["attempt 999999999", "taken, attempt 999999999", { "quayside-attempt": "999999999" }],
    ["bodyBytes NaN", "refused invalid_option", {}, { bodyBytes: Number.NaN }],
    ["bodyBytes as a text", "refused invalid_option", {}, { bodyBytes: "1000" }],
    ["bodyBytes 0", "refused too_large", {}, { bodyBytes: 0 }],
    ["bodyBytes of one too few", "refused too_large", {}, { bodyBytes: body.length - 1 }],
    ["bodyBytes of as many", "taken, attempt 1", {}, { bodyBytes: body.length }],
    ["bodyTimeout -1", "refused invalid_option", {}, { bodyTimeout: -1 }],
    ["bodyTimeout NaN", "refused invalid_option", {}, { bodyTimeout: Number.NaN }],
    ["bodyTimeout soon", "refused invalid_option", {}, { bodyTimeout: "soon" }],
    ["jobs of a prototype alone", "refused unknown_job", {}, { jobs: Object.create({ a: {} }) }],
    ["jobs without the type", "refused unknown_job", {}, { jobs: {} }],
  ];
  for (const [input, came, headers, options] of tries)
    row(input, came, async () => {
      const signature = new Webhook(SECRET).sign("m", new Date(now * 1_000), body);
      const sent = { "webhook-id": "m", "webhook-timestamp": `${now}`, "webhook-signature": signature, ...headers };
      const shown = Object.entries(sent).filter((entry): entry is [string, string] => entry[1] !== null);
      const request = new Request("https://x.example/", { method: "POST", headers: shown, body });
      return verifyWebhook(request, SECRET, options).then(
        ({ attempt }) => `taken, attempt ${attempt}`,
        (error) => (error instanceof QuaysideError ? `refused ${error.code}` : refusal(error)),
      );
    });
});
