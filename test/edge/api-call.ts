import { env } from "cloudflare:workers";
import type { Problem } from "@quayside/edge";
import { expect } from "vitest";
import { api, type TOKENS } from "./queues.ts";

/** A job that the API takes. */
export const email = { name: "email", payload: { to: "ada@example.com" } };

export interface Call {
  readonly method?: string;
  readonly token?: keyof typeof TOKENS | "no such token";
  readonly body?: unknown;
  /** Sent as it is. */
  readonly text?: string;
  readonly headers?: Record<string, string>;
  readonly app?: typeof api;
}

/** Calls the API as a client does, by default with a token that may do everything. */
export async function call(path: string, { method, token = "token-all", body, text, headers, app = api }: Call = {}) {
  const sent = text ?? (body === undefined ? undefined : JSON.stringify(body));
  const response = await app.request(
    path,
    {
      method: method ?? (sent === undefined ? "GET" : "POST"),
      headers: {
        authorization: `Bearer ${token}`,
        ...(sent !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(sent !== undefined && { body: sent }),
    },
    env,
  );
  const type = response.headers.get("content-type") ?? "";
  return {
    response,
    status: response.status,
    type,
    // biome-ignore lint/suspicious/noExplicitAny: each case says itself what it expects
    body: type.includes("json") && method !== "HEAD" ? await response.json<any>() : undefined,
  };
}

/** The problem that a call is answered with. */
export async function problem(path: string, options: Call = {}): Promise<Problem> {
  const { type, status, body } = await call(path, options);
  expect(type).toBe("application/problem+json");
  expect(body.status).toBe(status);
  return body;
}

/** The receipt of a job that was added to queue `mail`, or the receipts. */
export const add = async (body: unknown = email) => (await call("/mail/jobs", { body })).body;
