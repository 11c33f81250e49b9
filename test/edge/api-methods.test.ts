import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { API_ROUTES } from "@quayside/edge";
import { afterEach, describe, expect, it } from "vitest";
import { add, call, problem } from "./api-call.ts";

afterEach(reset);

describe("a method", () => {
  const paths = new Map<string, string[]>();
  for (const { method, path } of API_ROUTES) paths.set(path, [...(paths.get(path) ?? []), method]);
  const at = (path: string) => path.replace(":queue", "mail").replace(/:(id|key)/, "x");

  it.each([...paths])("that %s does not have is 405, and Allow says which it has", async (path, methods) => {
    const allowed = [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"];
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"]) {
      if (methods.includes(method)) continue;
      const { status, body, response } = await call(at(path), { method });
      expect({ status, code: body.code }).toEqual({ status: 405, code: "method_not_allowed" });
      expect(response.headers.get("allow")?.split(", ").sort()).toEqual(allowed.sort());
    }
    const { status, response } = await call(at(path), { method: "OPTIONS" });
    expect([status, response.headers.get("allow")?.split(", ").sort()]).toEqual([204, allowed.sort()]);
  });

  it("HEAD answers as GET does, without a body, and opens no stream", async () => {
    await add();
    for (const path of [
      "/mail/counts",
      "/mail/jobs",
      "/mail/events",
      "/mail/nothing",
      "/mail/jobs/nothing",
      "/mail/pause",
    ]) {
      const { response } = await call(path, { method: "HEAD" });
      expect(await response.text()).toBe("");
      const expected = path === "/mail/pause" ? 405 : path.endsWith("nothing") ? 404 : 200;
      expect({ path, status: response.status }).toEqual({ path, status: expected });
    }
    expect((await call("/mail/counts")).body.paused).toBe(false);
    expect(await env.BARE_QUEUE.getByName("mail").timers()).toBe(0);
  });

  it("on a route that is not there is 404, code route_not_found", async () => {
    for (const path of [
      "/",
      "/mail",
      "/mail/jobs/a/b",
      "/mail/jobs/",
      "/mail/jobs/a/explode",
      "/__proto__/constructor",
    ]) {
      expect(await problem(path, { method: "POST" })).toMatchObject({ status: 404, code: "route_not_found" });
    }
  });
});
