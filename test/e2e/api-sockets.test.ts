import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Runtime, type Workerd } from "./support/workerd.ts";

/** In the runtime itself: `wrangler dev` reads every body to its end before it answers. */
let server: Workerd;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quayside-sockets-"));
  const runtime = await Runtime.bundle("../../edge/wrangler.http.jsonc", folder);
  server = await runtime.start();
});
afterAll(async () => {
  await server?.kill();
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
});

/** How a request's body is sent after its headers: a byte at a time and never to its end, or not at all. */
type Body = "trickles" | "never comes" | "is chunked and trickles" | "is cut off";

/** The status line of the answer to a POST whose body is never complete, and how long it took. */
function post(path: string, token: string, body: Body): Promise<{ readonly status: number; readonly ms: number }> {
  const { hostname, port } = new URL(server.url);
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    const length = body === "is chunked and trickles" ? "transfer-encoding: chunked" : "content-length: 1000000";
    const chunk = body === "is chunked and trickles" ? "1\r\n[\r\n" : "[";
    const head = ["host: edge", `authorization: Bearer ${token}`, "content-type: application/json", length];
    socket.write(`POST ${path} HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n`);
    const drip = setInterval(() => {
      if (body !== "never comes") socket.write(chunk);
      if (body === "is cut off") socket.end();
    }, 50);
    let text = "";
    const end = () => {
      clearInterval(drip);
      clearTimeout(limit);
      socket.destroy();
    };
    const limit = setTimeout(() => {
      end();
      reject(new Error(`No answer within 8 s to a body that ${body}; so far: ${JSON.stringify(text)}`));
    }, 8_000);
    socket.on("data", (data) => {
      text += data;
      const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1];
      if (status === undefined) return;
      end();
      resolve({ status: Number(status), ms: performance.now() - began });
    });
    socket.on("error", (error) => {
      end();
      reject(error);
    });
  });
}

const BODIES: readonly Body[] = ["trickles", "never comes", "is chunked and trickles"];

describe("a POST that is refused while its body is on its way", () => {
  it("hears the refusal, however large its body is within the limit", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const send = (bytes: number) =>
      new Promise<number | undefined>((resolve, reject) => {
        const url = `${server.url}/spaces/a/api/mail/jobs`;
        const headers = { "content-type": "application/json", "content-length": bytes };
        const sending = request(url, { method: "POST", agent, headers }, (response) => {
          response.resume().on("end", () => resolve(response.statusCode));
        });
        sending.on("error", reject);
        sending.end(Buffer.alloc(bytes, "x"));
      });
    for (const bytes of [0, 10, 100_000, 1_000_000]) expect(await send(bytes), `${bytes} bytes`).toBe(401);
    agent.destroy();
  });
});

describe("a POST whose body does not end", () => {
  it.each(BODIES)("and %s is answered 401 at once, without a valid token", async (body) => {
    const { status, ms } = await post("/spaces/a/api/mail/jobs", "no such token", body);
    expect(status).toBe(401);
    expect(ms).toBeLessThan(2_000);
  });

  it.each(BODIES)("and %s is answered 403 at once, with a token of another scope", async (body) => {
    const { status, ms } = await post("/spaces/a/api/mail/jobs", "token-work", body);
    expect(status).toBe(403);
    expect(ms).toBeLessThan(2_000);
  });

  it.each(BODIES)("and %s is answered at once where there is no such route", async (body) => {
    const { status, ms } = await post("/spaces/a/api/mail/nothing", "token-work", body);
    expect(status).toBe(404);
    expect(ms).toBeLessThan(2_000);
  });
});
