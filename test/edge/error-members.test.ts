import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { isQuaysideError, type JobToAdd, memoryDriver, Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { afterEach, describe, expect, it } from "vitest";
import { api, jobs } from "./queues.ts";

afterEach(reset);

/** A queue with the job map, and one over HTTP whose server has the map. */
function queues() {
  const fetch = (url: string, init?: RequestInit) => api.request(url.replace("https://api.example", ""), init, env);
  const driver = httpDriver({
    url: "https://api.example",
    token: "token-all",
    fetch: fetch as typeof globalThis.fetch,
  });
  return {
    local: new Queue("mail", memoryDriver(), { jobs, payloadLimit: 1_000 }) as unknown as Queue,
    remote: new Queue("mail", driver),
  };
}

/** The code and details of the error with which adding these jobs is refused. */
async function refusal(queue: Queue, added: readonly JobToAdd<Record<string, unknown>>[]) {
  const error = await queue.addJobs(added).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isQuaysideError(error)) throw new Error("not refused", { cause: error });
  const { status: _, ...details } = error.details;
  return { code: error.code, details };
}

const email = { name: "email", payload: { to: "ada@example.com" } };

describe("an error of an add has the same members over HTTP as locally", () => {
  it.each<[string, readonly JobToAdd<Record<string, unknown>>[]]>([
    ["a payload that does not fit its schema", [email, { name: "email", payload: { to: "ada", lines: [1] } }]],
    ["a payload that is too large", [email, { name: "note", payload: { board: "a", note: "x".repeat(2_000) } }]],
    ["a name that the map does not have", [email, email, { name: "fax", payload: 1 }]],
  ])("%s", async (_, added) => {
    const { local, remote } = queues();
    const here = await refusal(local, added);
    expect(here.details.at).toBe(`jobs[${added.length - 1}]`);
    const there = await refusal(remote, added);
    expect(there).toMatchObject(here);
    // Where core has no issues, those of the API name the fields of the request.
    const more = Object.keys(there.details).filter((name) => !(name in here.details));
    expect(more).toEqual(here.code === "invalid_payload" ? [] : ["issues"]);
  });

  it("each issue names a field of the payload, in a lone add too", async () => {
    for (const queue of Object.values(queues())) {
      const error = await queue.addJob("email", { to: "ada", lines: [1] }).catch((thrown: unknown) => thrown);
      if (!isQuaysideError(error, "invalid_payload")) throw error;
      expect(error.details.issues.map(({ path }) => path)).toEqual(["to", "lines[0]"]);
      expect(error.details.job).toBe("email");
      expect(error.details).not.toHaveProperty("errors");
    }
  });
});
