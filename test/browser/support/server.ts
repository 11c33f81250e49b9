import { type HttpDriver, type HttpDriverOptions, httpDriver } from "@quayside/core/http";

export type Answer = (request: Received) => Response | Promise<Response>;

export interface Received {
  readonly path: string;
  readonly token: string | undefined;
  /** Ids of the jobs it brings. */
  readonly ids: readonly string[];
  /** Of its body. */
  readonly bytes: number;
  /** The label of the subject that it names; null without one. */
  readonly subject: string | null;
}

/** A queue API as an outbox knows it: it keeps jobs by their ids. What stands before it answers as it is told. */
export class Server {
  /** All requests to add jobs, whatever became of them. */
  readonly received: Received[] = [];
  /** How often each job was stored, in the order in which they came. */
  readonly stored = new Map<string, number>();
  /** For each request that is to come; none left: it goes through. */
  readonly answers: Answer[] = [];
  /** While it is set, all requests are answered so. */
  outage: Answer | undefined;
  /** The only token that is taken; undefined: any, or none. */
  token: string | undefined;

  driver(options: Partial<HttpDriverOptions> = {}): HttpDriver {
    return httpDriver({ url: "https://api.example/queues", fetch: (url, init) => this.handle(url, init), ...options });
  }

  /** As `fetch` does. */
  async handle(url: string, { method, headers, body }: RequestInit): Promise<Response> {
    const path = new URL(url).pathname;
    if (method !== "POST") return new Response("", { status: 404 });
    const given = headers as Readonly<Record<string, string>>;
    const jobs = JSON.parse(`${body}`) as readonly { readonly options?: { readonly id?: string } }[];
    const ids = jobs.map(({ options }) => `${options?.id}`);
    const request = {
      path,
      token: given["authorization"]?.slice("Bearer ".length),
      ids,
      bytes: `${body}`.length,
      subject: new URLSearchParams(given["quayside-request"]).get("subject"),
    };
    this.received.push(request);
    const answer = this.outage ?? this.answers.shift();
    return answer ? answer(request) : this.store(request);
  }

  /** Answers as the API does. */
  store({ ids, token }: Received): Response {
    if (this.token !== undefined && token !== this.token) return problem(401, "unauthorized");
    const known = ids.map((id) => this.stored.has(id));
    for (const id of ids) if (!this.stored.has(id)) this.stored.set(id, 1);
    return Response.json(ids.map((id, index) => ({ id, deduplicated: known[index] })));
  }
}

/** An error in the API's own words. */
export const problem = (
  status: number,
  code: string,
  more: object = {},
  headers: Record<string, string> = {},
): Response =>
  new Response(JSON.stringify({ type: "about:blank", title: code, status, code, detail: `It is ${code}.`, ...more }), {
    status,
    headers: { "content-type": "application/problem+json", ...headers },
  });

/** Answers of a portal, a firewall or a gateway. */
export const page = (status: number, headers: Record<string, string> = {}): Response =>
  new Response("<html>Please sign in.</html>", { status, headers: { "content-type": "text/html", ...headers } });
