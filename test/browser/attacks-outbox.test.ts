import type { HttpDriverOptions } from "@quayside/core/http";
import { openDB } from "idb";
import { afterEach, describe, expect, it, vi } from "vitest";
import { databaseOf } from "./support/databases.ts";
import { emails, Site } from "./support/outbox.ts";
import { type Answer, page, problem, type Received, Server } from "./support/server.ts";

/** Rows of attacks on an outbox by its server and by what happens to its tabs, with what came of them. */

let sites: Site[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const site of sites) await site.close();
  sites = [];
});

function open(http: Partial<HttpDriverOptions> = {}) {
  const site = new Site();
  sites.push(site);
  const server = new Server();
  const errors = new Set<string>();
  const refused: string[] = [];
  const tab = () => {
    const { outbox, mail } = site.tab({ remote: server.driver(http) });
    outbox.on("error", ({ error }) => void errors.add(`${(error as { readonly code?: string }).code}`));
    outbox.on("refused", ({ id }) => void refused.push(id));
    return { outbox, mail };
  };
  return { site, server, clock: site.clock, errors, refused, tab, ...tab() };
}
type Opened = ReturnType<typeof open>;

/** Moves time on until nothing is pending, or as far as an hour. */
async function settle({ outbox, clock }: Opened): Promise<string> {
  for (let n = 0; n < 12; n++) {
    for (let turn = 0; turn < 6; turn++) await outbox.state();
    await new Promise((resolve) => setTimeout(resolve, 2));
    const { pending, failed, paused } = await outbox.state();
    if (pending === 0) return `${failed} failed`;
    if (paused !== undefined) outbox.forward();
    await clock.advance(300_000);
  }
  const { pending, failed } = await outbox.state();
  return `${failed} failed, ${pending} pending`;
}

const told = ({ server, errors }: Opened, state: string): string =>
  `${server.stored.size} stored, ${state}; ${[...errors].join(" ") || "no errors"}`;

const json = (value: unknown, init: ResponseInit = { status: 201 }) => Response.json(value, init);
const receipts = ({ ids }: Received, more: (id: string, index: number) => object = () => ({})) =>
  ids.map((id, index) => ({ id, deduplicated: false, ...more(id, index) }));

describe("attacks: a server that answers lies, once, and then the truth", () => {
  const text = (body: string, type = "application/json", status = 201) =>
    new Response(body, { status, headers: { "content-type": type } });
  const rows: readonly (readonly [input: string, came: string, answer: Answer])[] = [
    ["receipts of other jobs", "3 stored, 0 failed; network", (sent) => json(receipts(sent, () => ({ id: "other" })))],
    [
      "receipts of other jobs, as duplicates",
      "3 stored, 0 failed; network",
      (sent) => json(receipts(sent, () => ({ id: "other", deduplicated: true }))),
    ],
    ["receipts in another order", "3 stored, 0 failed; network", (sent) => json(receipts(sent).reverse())],
    [
      "receipts in another order, as duplicates",
      "3 stored, 0 failed; network",
      (sent) => json(receipts(sent, () => ({ deduplicated: true })).reverse()),
    ],
    ["half of the receipts", "3 stored, 0 failed; network", (sent) => json(receipts(sent).slice(0, 1))],
    ["twice the receipts", "3 stored, 0 failed; network", (sent) => json([...receipts(sent), ...receipts(sent)])],
    ["no receipts", "3 stored, 0 failed; network", () => json([])],
    ["receipts in an object", "3 stored, 0 failed; network", (sent) => json({ receipts: receipts(sent) })],
    ["one receipt, not in a list", "3 stored, 0 failed; network", (sent) => json(receipts(sent)[0])],
    ["null", "3 stored, 0 failed; network", () => json(null)],
    ["null for each job", "3 stored, 0 failed; network", ({ ids }) => json(ids.map(() => null))],
    [
      "ids that are numbers",
      "3 stored, 0 failed; network",
      (sent) => json(receipts(sent, (_, index) => ({ id: index }))),
    ],
    [
      "empty ids, as duplicates",
      "3 stored, 0 failed; network",
      (sent) => json(receipts(sent, () => ({ id: "", deduplicated: true }))),
    ],
    [
      "deduplicated as a text",
      "3 stored, 0 failed; network",
      (sent) => json(receipts(sent, () => ({ id: "other", deduplicated: "yes" }))),
    ],
    ["receipts without deduplicated", "3 stored, 0 failed; network", ({ ids }) => json(ids.map((id) => ({ id })))],
    ["a list in a list", "3 stored, 0 failed; network", (sent) => json([receipts(sent)])],
    [
      "receipts as a page",
      "0 stored, 0 failed; no errors",
      (sent) => text(JSON.stringify(receipts(sent)), "text/html"),
    ],
    [
      "receipts with 200",
      "3 stored, 0 failed; network",
      (sent) =>
        json(
          receipts(sent, () => ({ id: "other" })),
          { status: 200 },
        ),
    ],
    [
      "text that is cut off",
      "3 stored, 0 failed; network",
      (sent) => text(JSON.stringify(receipts(sent)).slice(0, -5)),
    ],
    ["text that is no JSON", "3 stored, 0 failed; network", () => text("{x")],
    ["an empty text", "3 stored, 0 failed; network", () => text("")],
    ["204", "3 stored, 0 failed; network", () => new Response(null, { status: 204 })],
    ["202 with an empty object", "3 stored, 0 failed; network", () => json({}, { status: 202 })],
    ["a page with 200", "3 stored, 0 failed; network", () => page(200)],
    [
      "a redirect",
      "3 stored, 0 failed; network",
      () => new Response(null, { status: 302, headers: { location: "/login" } }),
    ],
    ["304", "3 stored, 0 failed; network", () => new Response(null, { status: 304 })],
    ["an opaque answer", "3 stored, 0 failed; network", () => Response.error()],
    [
      "a body that breaks off",
      "3 stored, 0 failed; network",
      () =>
        new Response(new ReadableStream({ pull: (controller) => controller.error(new Error("reset")) }), {
          status: 201,
          headers: { "content-type": "application/json" },
        }),
    ],
    ["an answer of 40 MiB", "3 stored, 0 failed; network", () => text(`"${"x".repeat(40 << 20)}"`)],
    ["no answer: the fetch rejects with undefined", "3 stored, 0 failed; network", () => Promise.reject(undefined)],
    ["no Response", "3 stored, 0 failed; undefined", () => ({}) as never],
    ["undefined", "3 stored, 0 failed; undefined", () => undefined as never],
    ["the API's conflict", "3 stored, 0 failed; no errors", () => problem(409, "conflict")],
    ["another's 409", "3 stored, 0 failed; bad_request", () => page(409)],
    ["mark_conflict", "3 stored, 0 failed; no errors", () => problem(409, "mark_conflict")],
    ["stale_exchange", "3 stored, 0 failed; no errors", () => problem(409, "stale_exchange")],
    ["in_progress", "3 stored, 0 failed; in_progress", () => problem(409, "in_progress")],
    ["subject_required", "3 stored, 0 failed; subject_required", () => problem(403, "subject_required")],
    ["410", "3 stored, 0 failed; bad_request", () => page(410)],
    ["418 in a code of its own", "3 stored, 0 failed; teapot", () => problem(418, "teapot")],
    [
      "a refusal of job 999",
      "3 stored, 0 failed; no errors",
      () => problem(422, "invalid_payload", { errors: [{ path: "[999].payload", message: "no" }] }),
    ],
    [
      "a refusal of job −1",
      "3 stored, 0 failed; no errors",
      () => problem(422, "invalid_payload", { errors: [{ path: "[-1].payload", message: "no" }] }),
    ],
    [
      "a refusal of job 1e9, with all its digits",
      "3 stored, 0 failed; no errors",
      () => problem(422, "invalid_payload", { errors: [{ path: "[1000000000].payload", message: "no" }] }),
    ],
    [
      "a refusal of job 1, 1,000 times",
      "2 stored, 1 failed; no errors",
      () => problem(422, "invalid_payload", { errors: Array(1_000).fill({ path: "[1].payload", message: "no" }) }),
    ],
    [
      "a refusal whose errors are an object",
      "3 stored, 0 failed; no errors",
      () => problem(422, "invalid_payload", { errors: { path: "[0]" } }),
    ],
    [
      "a refusal whose paths are numbers",
      "3 stored, 0 failed; no errors",
      () => problem(422, "invalid_payload", { errors: [{ path: 0, message: "no" }] }),
    ],
    ["a refusal with 200", "3 stored, 0 failed; network", () => problem(200, "invalid_payload")],
    ["a refusal with 500", "3 stored, 0 failed; no errors", () => problem(500, "bad_request")],
    [
      "forbidden for job 1",
      "2 stored, 1 failed; no errors",
      () => problem(403, "forbidden", { errors: [{ path: "[1].name", message: "no" }] }),
    ],
    [
      "429 for −5 ms",
      "3 stored, 0 failed; rate_limited",
      () => problem(429, "rate_limited", { details: { retryAfterMs: -5 } }),
    ],
    [
      "429 for 1e300 ms",
      "0 stored, 0 failed, 3 pending; rate_limited",
      () => problem(429, "rate_limited", { details: { retryAfterMs: 1e300 } }),
    ],
    [
      "429 for a text",
      "3 stored, 0 failed; rate_limited",
      () => problem(429, "rate_limited", { details: { retryAfterMs: "soon" } }),
    ],
    [
      "429 until a date long ago",
      "3 stored, 0 failed; rate_limited",
      () => problem(429, "rate_limited", {}, { "retry-after": "Thu, 01 Jan 1970 00:00:00 GMT" }),
    ],
    [
      "503 until the year 9999",
      "0 stored, 0 failed, 3 pending; network",
      () => page(503, { "retry-after": "Fri, 31 Dec 9999 23:59:59 GMT" }),
    ],
    ["closed", "3 stored, 0 failed; network", () => problem(409, "closed")],
    [
      "a code of 10,000",
      "3 stored, 0 failed; cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
      () => problem(400, "c".repeat(10_000)),
    ],
    ["a code that is an object's own word", "3 stored, 0 failed; constructor", () => problem(400, "constructor")],
  ];
  it.each(rows)("%s", async (_, expected, answer) => {
    const opened = open();
    opened.server.answers.push(answer);
    await opened.mail.addJobs(emails(3));
    expect(told(opened, await settle(opened))).toBe(expected);
  });
});

describe("attacks: what happens to tabs, storage, clock and network on the way", () => {
  const rows: readonly (readonly [
    input: string,
    came: string,
    attack: (opened: Opened) => Promise<unknown>,
    http?: Partial<HttpDriverOptions>,
  ])[] = [
    [
      "two tabs, of which one closes with its request under way",
      "6 stored, 0 failed; no errors; few sends",
      async ({ server, tab, mail, outbox }) => {
        const gate = Promise.withResolvers<void>();
        server.answers.push(async (sent) => {
          await gate.promise;
          return server.store(sent);
        });
        const other = tab();
        await mail.addJobs(emails(3));
        await vi.waitFor(() => expect(server.received).toHaveLength(1));
        await other.mail.addJobs(emails(3, 3));
        const closing = outbox.close();
        gate.resolve();
        await closing;
        return other.outbox;
      },
    ],
    [
      "two tabs that add the same ids",
      "3 stored, 0 failed; no errors; few sends",
      async ({ tab, mail }) => {
        const other = tab();
        await Promise.all(
          [mail, other.mail].map((queue) =>
            queue.addJobs(emails(3).map((job, index) => ({ ...job, id: `own-${index}` }))),
          ),
        );
      },
    ],
    [
      "the database's records are all cleared with jobs pending",
      "2 stored, 0 failed; network; few sends",
      async ({ server, site, mail, clock }) => {
        server.outage = () => page(503);
        await mail.addJobs(emails(3));
        await vi.waitFor(() => expect(server.received.length).toBeGreaterThan(0));
        const database = await openDB(databaseOf(site.name));
        for (const name of database.objectStoreNames) await database.clear(name);
        database.close();
        server.outage = undefined;
        await clock.advance(300_000);
        await mail.addJobs(emails(2, 10));
      },
    ],
    [
      "the records are cleared while a request is under way",
      "5 stored, 0 failed; no errors; few sends",
      async ({ server, site, mail }) => {
        const gate = Promise.withResolvers<void>();
        server.answers.push(async (sent) => {
          await gate.promise;
          return server.store(sent);
        });
        await mail.addJobs(emails(3));
        await vi.waitFor(() => expect(server.received).toHaveLength(1));
        const database = await openDB(databaseOf(site.name));
        for (const name of database.objectStoreNames) await database.clear(name);
        database.close();
        gate.resolve();
        await mail.addJobs(emails(2, 10));
      },
    ],
    [
      "the lease records alone are cleared while a request is under way",
      "5 stored, 0 failed; no errors; few sends",
      async ({ server, site, mail }) => {
        const gate = Promise.withResolvers<void>();
        server.answers.push(async (sent) => {
          await gate.promise;
          return server.store(sent);
        });
        await mail.addJobs(emails(3));
        await vi.waitFor(() => expect(server.received).toHaveLength(1));
        const database = await openDB(databaseOf(site.name));
        await database.clear("leases");
        database.close();
        gate.resolve();
        await mail.addJobs(emails(2, 10));
      },
    ],
    [
      "the clock is set back by three days between sends",
      "5 stored, 0 failed; network; few sends",
      async ({ server, mail, clock }) => {
        server.answers.push(() => page(503));
        await mail.addJobs(emails(3));
        await vi.waitFor(() => expect(server.received).toHaveLength(1));
        clock.jump(-3 * 86_400_000);
        await mail.addJobs(emails(2, 10));
      },
    ],
    [
      "the clock is set forward by a year between sends",
      "5 stored, 0 failed; network; few sends",
      async ({ server, mail, clock }) => {
        server.answers.push(() => page(503));
        await mail.addJobs(emails(3));
        await vi.waitFor(() => expect(server.received).toHaveLength(1));
        clock.jump(365 * 86_400_000);
        await mail.addJobs(emails(2, 10));
      },
    ],
    [
      "navigator.onLine says offline, and it is not",
      "3 stored, 0 failed; no errors; few sends",
      async ({ mail }) => {
        vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);
        window.dispatchEvent(new Event("offline"));
        await mail.addJobs(emails(3));
      },
    ],
    [
      "navigator.onLine throws",
      "3 stored, 0 failed; no errors; few sends",
      async ({ mail }) => {
        vi.spyOn(navigator, "onLine", "get").mockImplementation(() => {
          throw new Error("no");
        });
        window.dispatchEvent(new Event("offline"));
        window.dispatchEvent(new Event("online"));
        await mail.addJobs(emails(3));
      },
    ],
    [
      "1,000 signs of the network while the server is down",
      "3 stored, 0 failed; network; few sends",
      async ({ server, mail }) => {
        for (let n = 0; n < 3; n++) server.answers.push(() => page(503));
        await mail.addJobs(emails(3));
        for (let n = 0; n < 1_000; n++) window.dispatchEvent(new Event("online"));
      },
    ],
    [
      "the tab hides and shows itself 100 times",
      "3 stored, 0 failed; network; few sends",
      async ({ server, mail }) => {
        server.answers.push(() => page(503));
        await mail.addJobs(emails(3));
        for (let n = 0; n < 100; n++) {
          window.dispatchEvent(new Event("focus"));
          document.dispatchEvent(new Event("visibilitychange"));
        }
      },
    ],
    [
      "a token that is another each time",
      "3 stored, 0 failed; no errors; few sends",
      async ({ mail }) => void (await mail.addJobs(emails(3))),
      { token: () => `${Math.random()}` },
    ],
    [
      "a token function that throws undefined",
      "0 stored, 0 failed, 3 pending; network; few sends",
      async ({ mail }) => void (await mail.addJobs(emails(3))),
      {
        token: () => {
          throw undefined;
        },
      },
    ],
    [
      "a token function that never settles",
      "0 stored, 0 failed, 3 pending; network; few sends",
      async ({ mail }) => void (await mail.addJobs(emails(3))),
      { token: () => new Promise<string>(() => {}), timeout: 30 } as never,
    ],
    [
      "a token that is an object",
      "0 stored, 0 failed, 3 pending; unauthorized; few sends",
      async ({ mail }) => void (await mail.addJobs(emails(3))),
      { token: () => ({ token: "x" }) as never },
    ],
    [
      "the server refuses each token thrice, then takes it",
      "3 stored, 0 failed; unauthorized; few sends",
      async ({ server, mail }) => {
        for (let n = 0; n < 6; n++) server.answers.push(() => problem(401, "unauthorized"));
        await mail.addJobs(emails(3));
      },
      { token: () => `${Math.random()}` },
    ],
    [
      "jobs are cancelled, removed and changed while their request is under way, and its answer lost",
      "3 stored, 0 failed; network; few sends",
      async ({ server, mail }) => {
        const gate = Promise.withResolvers<void>();
        server.answers.push(async (sent) => {
          await gate.promise;
          server.store(sent);
          throw new TypeError("network");
        });
        const [a = "", b = "", c = ""] = await mail.addJobs(emails(3));
        await vi.waitFor(() => expect(server.received).toHaveLength(1));
        await Promise.allSettled([mail.cancel(a), mail.remove(b), mail.update(c, { priority: 5 })]);
        gate.resolve();
      },
    ],
    [
      "200 jobs whose requests fail every other time with the answer lost",
      "200 stored, 0 failed; network; few sends",
      async ({ server, mail }) => {
        for (let n = 0; n < 6; n++)
          server.answers.push((sent) => {
            const answer = server.store(sent);
            if (n % 2 === 0) throw new TypeError("network");
            return answer;
          });
        for (let n = 0; n < 4; n++) await mail.addJobs(emails(50, n * 50));
      },
    ],
    [
      "mark_conflict for ever",
      "0 stored, 0 failed, 3 pending; mark_conflict; many sends",
      async ({ server, mail }) => {
        server.outage = () => problem(409, "mark_conflict");
        await mail.addJobs(emails(3));
      },
    ],
    [
      "a server that stores, and answers 500, for ever",
      "3 stored, 0 failed, 3 pending; network; many sends",
      async ({ server, mail }) => {
        server.outage = (sent) => {
          server.store(sent);
          return page(500);
        };
        await mail.addJobs(emails(3));
      },
    ],
    [
      "another page's message on the same channels",
      "3 stored, 0 failed; no errors; few sends",
      async ({ mail, site }) => {
        for (const name of [site.name, `quayside:${site.name}`, databaseOf(site.name)]) {
          const channel = new BroadcastChannel(name);
          for (const odd of [null, "x", { queue: 5 }, [], { kind: {} }]) channel.postMessage(odd);
          channel.close();
        }
        await mail.addJobs(emails(3));
      },
    ],
  ];
  const cases = rows.map(([input, came, attack, http]) => [input, came, attack, http] as const);
  it.each(cases)("%s", async (_, expected, attack, http) => {
    const opened = open(http);
    const outbox = (await attack(opened)) as Opened["outbox"] | undefined;
    const state = await settle(outbox ? { ...opened, outbox } : opened);
    const sent = opened.server.received.flatMap(({ ids }) => ids).length;
    expect(`${told(opened, state)}; ${sent > 10 * Math.max(3, opened.server.stored.size) ? "many" : "few"} sends`).toBe(
      expected,
    );
  });
});
