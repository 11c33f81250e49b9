import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type Schema as JsonSchema, Validator } from "@cfworker/json-schema";
import fc from "fast-check";
import { afterEach, expect, inject, it } from "vitest";
import { call } from "./api-call.ts";
import { type Document, type FuzzRequest, type Operation, requestsOf } from "./fuzz/requests.ts";
import { api } from "./queues.ts";

const REQUESTS = inject("hostile").nightly ? 10_000 : 2_500;
/** The same requests in every run; another number looks elsewhere. */
const SEED = 20_261_122;

const KNOWN = {
  ids: ["job-0", "job-1", "job-2", "job-3", "job-4", "ended"],
  keys: ["hourly", "daily"],
  all: "token-all",
  mail: "token-mail",
  lesser: ["token-enqueue", "token-work", "token-admin", "no such token", ""],
};

const note = { name: "note", payload: { board: "a", note: "b" } };

/** Puts into queue `mail` what requests may be about, as far as it is not there. */
async function furnish(): Promise<void> {
  await call("/mail/jobs", { body: KNOWN.ids.map((id, n) => ({ ...note, options: { id, delay: n } })) });
  await call("/mail/jobs/ended/cancel", { method: "POST" });
  await call("/mail/schedules/hourly", {
    method: "PUT",
    body: { rule: { every: 3_600_000 }, job: note },
  });
}

afterEach(reset);

/** What an object holds, looked at afresh only when it has written something since. */
class Records {
  readonly #queue: string;
  #rowsWritten = -1;
  #dump = "";

  constructor(queue: string) {
    this.#queue = queue;
  }

  /** All that the object has stored. What it wrote and undid again leaves no trace here. */
  async read(): Promise<string> {
    const object = env.BARE_QUEUE.getByName(this.#queue);
    const { rowsWritten } = await object.usage();
    if (rowsWritten !== this.#rowsWritten) {
      this.#dump = await object.stored();
      this.#rowsWritten = rowsWritten;
    }
    return this.#dump;
  }
}

async function send({ method, path, token, headers, body }: FuzzRequest): Promise<Response> {
  const authorization = token === "" ? undefined : { authorization: `Bearer ${token}` };
  return api.request(
    path,
    { method, headers: { ...authorization, ...headers }, ...(body !== undefined && { body }) },
    env,
  );
}

/** Checks answers by what the document says of them. */
function answersOf({ paths, components }: Document) {
  const operations = new Map<string, Operation>();
  for (const methods of Object.values(paths)) {
    for (const operation of Object.values(methods)) operations.set(operation.operationId, operation);
  }
  const validators = new Map<string, Validator>();
  return {
    names: [...operations.keys()],
    /** What is wrong with an answer: a status that it may not have, a body that is not as it should be. */
    errors(operation: string, status: number, type: string, text: string): unknown {
      const content = operations.get(operation)?.responses[status]?.content;
      if (!content?.[type]) return `${operation} says nothing of ${status} as ${type}.`;
      if (type === "text/event-stream") return [];
      const key = `${operation} ${status}`;
      const validator =
        validators.get(key) ?? new Validator({ ...content[type].schema, components } as object as JsonSchema);
      validators.set(key, validator);
      return validator.validate(JSON.parse(text)).errors;
    },
  };
}

it(`${REQUESTS} requests made from openapi.json, right and wrong ones: never a 5xx, never a change by one that is refused`, {
  timeout: 300_000,
}, async () => {
  const document = (await call("/openapi.json")).body as Document;
  const answers = answersOf(document);
  const seen = new Map<string, number>();
  const count = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1);
  const mail = new Records("mail");
  const logs = new Records("logs");
  const logsBefore = await logs.read();
  let before = "";
  let sent = 0;

  const property = fc.asyncProperty(requestsOf(document, KNOWN), async (request) => {
    if (sent++ % 50 === 0) {
      // What is right for most requests is gone after a while, and a long queue makes a slow test.
      if (before.length > 30_000) await call("/mail/clear", { method: "POST" });
      await furnish();
      before = await mail.read();
    }
    const response = await send(request);
    const { status, headers } = response;
    count(`${request.operation} ${status < 400 ? "done" : "refused"}`);
    count(`${request.way} ${status}`);
    expect(status).toBeLessThan(500);
    const type = headers.get("content-type") ?? "";
    if (type === "text/event-stream") await response.body?.cancel();
    const text = type === "text/event-stream" ? "" : await response.text();
    const after = await mail.read();
    if (status >= 400) {
      expect(after).toBe(before);
    }
    // The document speaks of its own routes alone: not of those that are not there, and not of other methods.
    const spoken = ["route_not_found", "method_not_allowed"].every((code) => !text.includes(`"${code}"`));
    if (request.way !== "method" && request.way !== "path" && spoken) {
      expect(answers.errors(request.operation, status, type, text)).toEqual([]);
    } else if (status >= 400 && request.method !== "HEAD") {
      expect(JSON.parse(text)).toMatchObject({ status, code: expect.any(String), detail: expect.any(String) });
      expect(type).toBe("application/problem+json");
    }
    before = after;
  });
  await fc.assert(property, { numRuns: REQUESTS, seed: SEED });
  // Nobody who was let in had a word about this queue.
  expect(await logs.read()).toBe(logsBefore);
  for (const name of answers.names) {
    // Otherwise nothing was shown of it.
    expect(seen.get(`${name} done`), `${name} done`).toBeGreaterThan(0);
    expect(seen.get(`${name} refused`), `${name} refused`).toBeGreaterThan(0);
  }
  console.info(JSON.stringify(Object.fromEntries([...seen].sort()), null, 1));
});
