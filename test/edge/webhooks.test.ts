import { aesGcm, defineJobs, memoryDriver, Queue } from "@quayside/core";
import { type AllowedUrls, verifyWebhook, type WebhookOptions, webhook } from "@quayside/edge/webhook";
import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import * as z from "zod";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HERE = "https://books.example/hooks";
const JSON_TYPE = { "content-type": "application/json" };

const jobs = defineJobs({
  plain: { input: z.object({ url: z.string().optional() }), maxAttempts: 3, backoff: 0 },
  fit: { output: z.object({ taken: z.string().max(10) }), maxAttempts: 3, backoff: 0 },
});

interface Sent {
  readonly url: string;
  readonly headers: Record<string, string>;
}

/** A queue whose jobs go by webhook to a receiver that answers so, and what it was sent. */
function open(options: Partial<WebhookOptions>, answer: () => Response | Promise<Response> = () => new Response()) {
  const sent: Sent[] = [];
  const queue = new Queue("hooks", memoryDriver(), { jobs });
  const handler = webhook({
    url: HERE,
    secrets: SECRET,
    fetch: async (url, { headers }) => {
      sent.push({ url, headers: Object.fromEntries(new Headers(headers)) });
      return answer();
    },
    ...options,
  });
  for (const name of ["plain", "fit"] as const) queue.on(`job:${name}`, handler as never);
  const run = async (name: "plain" | "fit" = "plain", payload: object = {}, jobOptions = {}) => {
    const id = await queue.addJob(name, payload as never, jobOptions);
    await queue.drain();
    return queue.get(id);
  };
  return { queue, sent, run };
}

const breaking = (): ReadableStream =>
  new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"taken":'));
      controller.error(new Error("connection reset"));
    },
  });
const endless = (): ReadableStream =>
  new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode('{"taken":')) });
const text = (value: string, init: ResponseInit = {}) => new Response(value, { headers: JSON_TYPE, ...init });

describe("a 2xx is done, whatever its body is", () => {
  it.each<[string, () => Response]>([
    ["breaks off", () => new Response(breaking(), { headers: JSON_TYPE })],
    ["breaks off, and is no JSON", () => new Response(breaking(), { headers: { "content-type": "text/html" } })],
    ["is nested 20,000 levels deep", () => text(`${"[".repeat(20_000)}${"]".repeat(20_000)}`)],
    ["is nested 101 levels deep", () => text(`${"[".repeat(101)}${"]".repeat(101)}`)],
    ["is 1e999", () => text("1e999")],
    ["has 1e999 in a list", () => text('{"taken":[1e999]}')],
    ["is not UTF-8", () => new Response(new Uint8Array([0x22, 0xff, 0x22]), { headers: JSON_TYPE })],
    ["is half a JSON", () => text('{"taken":"y')],
    ["is larger than a result may be", () => text(JSON.stringify("x".repeat(140_000)))],
    ["is larger than resultBytes", () => text(JSON.stringify("x".repeat(1_100_000)))],
    ["is empty, but says that it is JSON", () => text("")],
    ["is a 204", () => new Response(null, { status: 204 })],
    ["is a 202 of text", () => new Response("queued", { status: 202 })],
  ])("also one that %s", async (_, answer) => {
    const { run, sent } = open({ resultBytes: 1_000_000 }, answer);
    for (const name of ["plain", "fit"] as const) {
      const job = await run(name);
      expect(job).toMatchObject({ state: "completed", attempts: 1 });
      expect(job?.result).toBeUndefined();
    }
    expect(sent).toHaveLength(2);
  });

  it.each<[string, string]>([
    ["too long for it", '{"taken":"longer than ten"}'],
    ["of another shape", '{"took":1}'],
    ["null", "null"],
    ["a list", "[]"],
  ])("also one whose body does not fit the schema of results: %s", async (_, body) => {
    const { run, sent } = open({}, () => text(body));
    const job = await run("fit");
    expect(job).toMatchObject({ state: "completed", attempts: 1 });
    expect(job?.result).toBeUndefined();
    expect(job?.logs).toEqual([expect.stringContaining("does not fit the schema of results")]);
    expect(sent).toHaveLength(1);
  });

  const outputs: readonly (readonly [string, () => unknown])[] = [
    [
      "throws",
      () => {
        throw new TypeError("a bug in the schema");
      },
    ],
    [
      "throws nothing",
      () => {
        throw undefined;
      },
    ],
    ["rejects", () => Promise.reject(new Error("no database"))],
    ["answers nothing", () => undefined],
    ["makes a value that JSON has none of", () => ({ value: 10n })],
    [
      "makes a value that refers to itself",
      () => {
        const value: { self?: unknown } = {};
        value.self = value;
        return { value };
      },
    ],
    ["makes a value that is larger than may be stored", () => ({ value: "x".repeat(200_000) })],
    [
      "makes a value whose toJSON throws",
      () => ({
        value: {
          toJSON() {
            throw new Error("no");
          },
        },
      }),
    ],
    ["refuses with issues that are none", () => ({ issues: 7 })],
  ];
  it.each(outputs)("also one whose schema of results %s", async (_, validate) => {
    const output = { "~standard": { version: 1, vendor: "own", validate } } as never;
    let sent = 0;
    const handler = webhook({
      url: HERE,
      secrets: SECRET,
      fetch: async () => {
        sent++;
        return text('{"taken":"yes"}');
      },
    });
    const queue = new Queue("hooks", memoryDriver(), {
      jobs: defineJobs({ odd: { output, maxAttempts: 3, backoff: 0 } }),
    });
    queue.on("job:odd", handler as never);
    const id = await queue.addJob("odd", {} as never);
    await queue.drain();
    const job = await queue.get(id);
    expect(job).toMatchObject({ state: "completed", attempts: 1 });
    expect(job?.result).toBeUndefined();
    expect(job?.logs).toEqual([expect.stringContaining("is not kept")]);
    expect(sent).toBe(1);
  });

  it("also one whose body never ends: the webhook's time and the job's are not waited for", async () => {
    const slow = () => new Response(endless(), { headers: JSON_TYPE });
    const byTimeout = open({ timeout: 60 }, slow);
    expect(await byTimeout.run()).toMatchObject({ state: "completed", attempts: 1 });
    const byJob = open({ timeout: "30s" }, slow);
    const job = await byJob.run("plain", {}, { timeout: 100 });
    expect(job).toMatchObject({
      state: "completed",
      attempts: 1,
      logs: [expect.stringContaining("did not end in time")],
    });
    expect(byJob.sent).toHaveLength(1);
  });

  it("also one to an encrypted job whose result would be too large in its envelope", async () => {
    const encryption = aesGcm({ keys: { k1: new Uint8Array(32).fill(1) }, current: "k1" });
    const queue = new Queue("hooks", memoryDriver(), { encryption, defaults: { encrypted: true, maxAttempts: 2 } });
    let sent = 0;
    const fetch = async () => {
      sent++;
      return text(JSON.stringify("x".repeat(100_000)));
    };
    queue.on("job:pay", webhook({ url: HERE, secrets: SECRET, resultBytes: 1_000_000, fetch }) as never);
    const id = await queue.addJob("pay", {});
    await queue.drain();
    expect(await queue.get(id)).toMatchObject({ state: "completed", attempts: 1 });
    expect(sent).toBe(1);
  });

  it("and its result is kept where it can be", async () => {
    const { run } = open({}, () => text('{"taken":"yes"}'));
    expect(await run("fit")).toMatchObject({ state: "completed", result: { taken: "yes" } });
  });

  it("while another status keeps its meaning although its body breaks off or never ends", async () => {
    for (const body of [breaking, endless]) {
      const gone = open({ timeout: 60 }, () => new Response(body(), { status: 410 }));
      expect(await gone.run()).toMatchObject({ state: "failed", attempts: 1, error: { code: "unrecoverable" } });
      const busy = open({ timeout: 60 }, () => new Response(body(), { status: 503 }));
      const job = await busy.run();
      expect(job).toMatchObject({ state: "failed", attempts: 3 });
      expect(job?.error?.message).toBe("https://books.example answered 503");
    }
  });
});

describe("a webhook's own headers", () => {
  it("stand alone, in whatever case the user's are written", async () => {
    const headers = {
      "Content-Type": "text/plain",
      "WEBHOOK-ID": "mine",
      "Webhook-Timestamp": "1",
      "webhook-Signature": "v1,AAAA",
      "Quayside-Attempt": "9",
      "X-App": "test",
      "x-APP": "twice",
    };
    const { run, sent } = open({ headers });
    await run();
    expect(sent[0]?.headers).toMatchObject({
      "content-type": "application/json",
      "webhook-id": expect.stringMatching(/^hooks\//),
      "webhook-timestamp": expect.stringMatching(/^\d{10}$/),
      "webhook-signature": expect.stringMatching(/^v1,[^,]{44}$/),
      "quayside-attempt": "1",
      "x-app": "test, twice",
    });
  });

  it.each<[string, unknown]>([
    ["a name with a space", { "x app": "1" }],
    ["a value with a line break", { "x-app": "a\r\nb: c" }],
    ["a text", "x-app: 1"],
  ])("are refused at once where they are none: %s", (_, headers) => {
    expect(() => webhook({ url: HERE, secrets: SECRET, headers: headers as never })).toThrow(
      expect.objectContaining({ code: "invalid_option", details: { option: "headers" } }),
    );
  });
});

describe("a webhook's options", () => {
  it.each([Number.NaN, -1, 1.5, "64k"])("resultBytes of %s is refused", (resultBytes) => {
    expect(() => webhook({ url: HERE, secrets: SECRET, resultBytes: resultBytes as number })).toThrow(
      expect.objectContaining({ code: "invalid_option", details: { option: "resultBytes" } }),
    );
  });

  it("take a timeout that is longer than a timer can be", async () => {
    expect(await open({ timeout: "60d" }).run()).toMatchObject({ state: "completed", attempts: 1 });
  });
});

const LOOPBACK = [
  "http://localhost/",
  "https://localhost/",
  "https://localhost./",
  "https://LOCALHOST:8443/",
  "http://a.localhost/",
  "https://a.b.localhost./",
  "http://127.0.0.1/",
  "https://127.0.0.1./",
  "https://127.1/",
  "https://127.255.255.254/",
  "https://2130706433/",
  "https://0x7f000001/",
  "https://0x7f.1/",
  "https://0177.0.0.1/",
  "https://017700000001/",
  "https://127.0.0.1%2e/",
  "https://①②⑦.0.0.1/",
  "https://127。0。0。1/",
  "http://[::1]/",
  "https://[0:0:0:0:0:0:0:1]/",
  "https://[::ffff:127.0.0.1]/",
  "https://[::ffff:7f00:1]/",
];
const PRIVATE = [
  "https://0.0.0.0/",
  "https://0/",
  "https://10.0.0.1/",
  "https://10.1/",
  "https://0xa000001/",
  "https://167772161/",
  "https://012.0.0.1/",
  "https://100.64.0.1/",
  "https://169.254.169.254/latest/meta-data",
  "https://0xa9fea9fe/",
  "https://2852039166/",
  "https://172.16.0.1/",
  "https://172.31.255.255/",
  "https://192.0.0.1/",
  "https://192.168.0.1/",
  "https://192.168.257/",
  "https://198.18.0.1/",
  "https://224.0.0.1/",
  "https://255.255.255.255/",
  "https://[::]/",
  "https://[::127.0.0.1]/",
  "https://[::ffff:10.0.0.1]/",
  "https://[::ffff:169.254.169.254]/",
  "https://[64:ff9b::a00:1]/",
  "https://[2002:a00:1::]/",
  "https://[2001:0:a00:1::]/",
  "https://[fc00::1]/",
  "https://[fd12:3456::1]/",
  "https://[fe80::1]/",
  "https://[febf::1]/",
  "https://[fec0::1]/",
  "https://[ff02::1]/",
  "https://[2001:db8::1]/",
  "https://[3fff::1]/",
];
const REFUSED = [
  "http://books.example/",
  "ftp://127.0.0.1/",
  "https://a:b@books.example/",
  "https://[fe80::1%25eth0]/",
  "",
  "books",
];
const PUBLIC = [
  "https://8.8.8.8/",
  "https://100.63.255.255/",
  "https://172.32.0.1/",
  "https://192.169.0.1/",
  "https://[2606:4700::1111]/",
  "https://localhost.example/",
  "https://notlocalhost/",
  "https://127.0.0.1.books.example/",
];

describe("the URL of a webhook from a payload", () => {
  const urlOf: WebhookOptions["url"] = (_, { payload }) => (payload as { readonly url: string }).url;
  const isSent = async (url: unknown, allow?: AllowedUrls) => {
    const { run, sent } = open({ url: urlOf, ...(allow && { allow }) });
    const job = await run("plain", { url }, { maxAttempts: 1 });
    if (sent.length === 0) expect(job).toMatchObject({ state: "failed", error: { code: "invalid_option" } });
    return sent.length > 0;
  };

  it.each(LOOPBACK)("does not reach this machine unless allow says so: %s", async (url) => {
    expect(await isSent(url)).toBe(false);
    expect(await isSent(url, ["books.example"])).toBe(false);
    expect(await isSent(url, () => false)).toBe(false);
    expect(await isSent(url, () => true)).toBe(true);
    expect(await isSent(url, [new URL(url).host])).toBe(true);
    // And not at all where it is the definition's own, and allow is not there.
    expect(() => webhook({ url, secrets: SECRET })).toThrow(/allow does not name/);
  });

  it.each(PRIVATE)("does not reach an address that is not public, whatever allow says: %s", async (url) => {
    expect(await isSent(url)).toBe(false);
    expect(await isSent(url, () => true)).toBe(false);
    expect(await isSent(url, [new URL(url).host])).toBe(false);
    expect(() => webhook({ url, secrets: SECRET, allow: () => true })).toThrow(/not public/);
  });

  it.each(REFUSED)("is refused where it is no https URL without credentials: %s", async (url) => {
    expect(await isSent(url, () => true)).toBe(false);
  });

  it.each(PUBLIC)("reaches any other host: %s", async (url) => {
    expect(await isSent(url)).toBe(true);
    expect(await isSent(url, ["books.example"])).toBe(false);
  });

  it.each<[string, readonly string[], readonly string[], readonly string[]]>([
    [
      "a host",
      ["books.example"],
      ["https://books.example/", "https://BOOKS.example:8443/"],
      ["https://a.books.example/"],
    ],
    ["a host and its port", ["books.example:8443"], ["https://books.example:8443/"], ["https://books.example/"]],
    ["a host in Unicode", ["bücher.example"], ["https://xn--bcher-kva.example/"], ["https://bucher.example/"]],
    [
      "all below a host",
      ["*.books.example"],
      ["https://a.books.example/", "https://a.b.books.example/"],
      ["https://books.example/", "https://evilbooks.example/", "https://books.example.evil.example/"],
    ],
    [
      "one of several",
      ["a.example", "b.example"],
      ["https://a.example/", "https://b.example/"],
      ["https://c.example/"],
    ],
  ])("is among those that a list names: %s", async (_, allow, taken, refused) => {
    for (const url of taken) expect(await isSent(url, allow)).toBe(true);
    for (const url of refused) expect(await isSent(url, allow)).toBe(false);
  });

  it.each<[string, unknown]>([
    ["an empty list", []],
    ["a text", "books.example"],
    ["true", true],
    ["a URL", ["https://books.example/"]],
    ["a path", ["books.example/hooks"]],
    ["credentials", ["a@books.example"]],
    ["everything", ["*"]],
    ["all below this machine", ["*.localhost"]],
    ["all below an address", ["*.0.0.1"]],
    ["a number", [1]],
    ["an empty text", [""]],
  ])("allow is refused at once where it names no hosts: %s", (_, allow) => {
    expect(() => webhook({ url: HERE, secrets: SECRET, allow: allow as never })).toThrow(
      expect.objectContaining({ code: "invalid_option", details: { option: "allow" } }),
    );
  });

  it.each<[string, unknown]>([
    ["a promise", Promise.resolve(true)],
    ["a text", "yes"],
    ["1", 1],
    ["nothing", undefined],
  ])("is not sent where allow answers %s", async (_, answer) => {
    expect(await isSent(HERE, () => answer as never)).toBe(false);
  });

  it("is not changed by what allow does to its copy", async () => {
    const { sent, run } = open({
      url: HERE,
      allow: (url) => {
        url.hostname = "evil.example";
        return true;
      },
    });
    await run();
    expect(sent[0]?.url).toBe(HERE);
  });
});

describe("verifyWebhook reads strictly, and not without end", () => {
  const body = JSON.stringify({
    type: "plain",
    timestamp: new Date().toISOString(),
    data: {},
    id: "1",
    queue: "hooks",
  });
  const now = Math.floor(Date.now() / 1_000);
  const signed = () => ({
    "webhook-id": "msg_1",
    "webhook-timestamp": String(now),
    "webhook-signature": new Webhook(SECRET).sign("msg_1", new Date(now * 1_000), body),
  });
  const refusal = async (request: Request, options = {}) =>
    verifyWebhook(request, SECRET, options).then(
      () => "taken",
      (error: { readonly code: string }) => error.code,
    );
  const post = (headers: Record<string, string>, content: BodyInit = body) =>
    new Request("https://receiver.example/hooks", { method: "POST", headers, body: content });
  /** A body that would be read for ever, and how often it was asked for more. */
  const drip = () => {
    const asked = { pulls: 0, cancelled: false };
    const stream = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          asked.pulls++;
          if (asked.pulls > 1) return new Promise(() => {});
          controller.enqueue(new Uint8Array([0x7b]));
          return undefined;
        },
        cancel() {
          asked.cancelled = true;
        },
      },
      { highWaterMark: 0 },
    );
    return { asked, stream };
  };

  it("takes what is signed as it should be", async () => {
    expect(await refusal(post(signed()))).toBe("taken");
  });

  it.each([
    `${now}abc`,
    `${now}.5`,
    `+${now}`,
    `0${now}`,
    `0x${now.toString(16)}`,
    `${now}e0`,
    "NaN",
    "Infinity",
    "1.7e9",
    `-${now}`,
  ])("refuses %s as a time stamp", async (stamp) => {
    expect(await refusal(post({ ...signed(), "webhook-timestamp": stamp }))).toBe("unauthorized");
  });

  it.each(["abc", "", "0", "-1", "1.5", "1e3", "0x10", "Infinity", "2, 3", "12345678901234567890"])(
    "refuses %j as an attempt",
    async (attempt) => {
      expect(await refusal(post({ ...signed(), "quayside-attempt": attempt }))).toBe("bad_request");
    },
  );

  it.each<[string, Record<string, string>]>([
    ["without a signature", { "webhook-signature": "" }],
    ["without an id", { "webhook-id": "" }],
    ["that is too old", { "webhook-timestamp": String(now - 400) }],
    ["whose time stamp is none", { "webhook-timestamp": "soon" }],
  ])("reads no body of a request %s", async (_, headers) => {
    const { asked, stream } = drip();
    expect(await refusal(post({ ...signed(), ...headers }, stream))).toBe("unauthorized");
    expect(asked.pulls).toBe(0);
  });

  it("reads a body that drips no longer than bodyTimeout, and cancels it", async () => {
    const { asked, stream } = drip();
    expect(await refusal(post(signed(), stream), { bodyTimeout: 30 })).toBe("timeout");
    expect(asked.cancelled).toBe(true);
  });

  it("reads a body of empty chunks, which lets no timer fire, to an end", async () => {
    let pulls = 0;
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        // The end comes for a reader without a bound only.
        if (++pulls > 1_000_000) controller.close();
        else controller.enqueue(new Uint8Array());
      },
    });
    expect(await refusal(post(signed(), stream))).toBe("too_large");
    expect(pulls).toBeLessThan(2_000);
  });

  it("reads nothing of a body that says it is too large, and no more than bodyBytes of one that does not", async () => {
    const { asked, stream } = drip();
    expect(await refusal(post({ ...signed(), "content-length": "2000000" }, stream))).toBe("too_large");
    expect(asked.pulls).toBe(0);
    expect(await refusal(post(signed()), { bodyBytes: 20 })).toBe("too_large");
  });

  it("says of a body that breaks off, or was read before, what is wrong", async () => {
    expect(await refusal(post(signed(), breaking()))).toBe("bad_request");
    const read = post(signed());
    await read.text();
    expect(await refusal(read)).toBe("invalid_option");
  });

  it.each([Number.NaN, -1, "1MB", Number.POSITIVE_INFINITY])("refuses bodyBytes of %s", async (bodyBytes) => {
    expect(await refusal(post(signed()), { bodyBytes })).toBe("invalid_option");
  });
});
