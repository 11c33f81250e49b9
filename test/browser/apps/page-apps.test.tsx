// Apps as their authors would write them in a page: without a cast, a name said twice or a repeated type argument.
import { indexedDbDriver, outboxDriver } from "@quayside/browser";
import { useCounts, useJobs } from "@quayside/browser/react";
import { defineJobs, defineQueue, memoryDriver, QuaysideError, Queue, type } from "@quayside/core";
import { act } from "react";
import { createRoot } from "react-dom/client";
import { describe, expect, it, vi } from "vitest";
import { freshName } from "../support/databases.ts";

describe("an offline form with a badge", () => {
  const forms = defineQueue("forms", { jobs: defineJobs({ submit: { input: type<{ name: string }>() } }) });

  it("keeps what was entered while the server is away, and says how much waits", async () => {
    const server = memoryDriver();
    let away = true;
    const remote = new Proxy(server, {
      get: (of, key: keyof typeof server) => {
        const value = of[key];
        if (key === "enqueue" && away) return () => Promise.reject(new QuaysideError("network", "away"));
        return typeof value === "function" ? value.bind(of) : value;
      },
    });
    const driver = outboxDriver({ local: indexedDbDriver({ name: freshName() }), remote, partition: "ada" });
    const queue = new Queue(forms, driver);
    const badge = document.createElement("b");
    const show = async () => {
      badge.textContent = String((await driver.state()).pending);
    };
    const stop = queue.watch(show);
    await queue.addJobs(["a", "b"].map((name) => ({ name: "submit", payload: { name } })));
    await vi.waitFor(() => expect(badge.textContent).toBe("2"));
    away = false;
    await vi.waitFor(() => expect(badge.textContent).toBe("0"), 10_000);
    expect(await new Queue(forms, server).counts()).toMatchObject({ waiting: 2 });
    stop();
    await queue.close();
  });
});

describe("a photo upload with progress and cancel", () => {
  const photos = defineQueue("photos", {
    jobs: defineJobs({ upload: { input: type<{ file: string }>(), output: type<{ url: string }>() } }),
  });

  it("reports progress, answers the url, and stops when it is cancelled", async () => {
    const queue = new Queue(photos, indexedDbDriver({ name: freshName() }));
    const aborted: string[] = [];
    queue.on("job:upload", async ({ file }, ctx) => {
      ctx.progress(50);
      if (file === "huge.jpg")
        await new Promise((_, reject) =>
          ctx.signal.addEventListener("abort", () => {
            aborted.push(file);
            reject(ctx.signal.reason);
          }),
        );
      ctx.progress(100);
      return { url: `/photos/${file}` };
    });
    const seen: unknown[] = [];
    queue.on("progress", ({ progress }) => seen.push(progress));
    await queue.run();
    const small = await queue.addJob("upload", { file: "small.jpg" });
    expect((await queue.waitFor(small)).url).toBe("/photos/small.jpg");
    expect(seen).toEqual([50, 100]);
    const huge = await queue.addJob("upload", { file: "huge.jpg" });
    await vi.waitFor(async () => expect(await queue.get(huge)).toMatchObject({ state: "active" }));
    await queue.cancel(huge);
    await expect(queue.waitFor(huge)).rejects.toMatchObject({ code: "cancelled" });
    await vi.waitFor(() => expect(aborted).toEqual(["huge.jpg"]));
    await queue.close();
  });
});

const images = defineQueue("images", { jobs: defineJobs({ resize: { input: type<{ width: number }>() } }) });

const queue = new Queue(images, indexedDbDriver({ name: freshName() }));
function App() {
  const { value: counts } = useCounts(queue);
  const { value: page } = useJobs(queue, { state: "waiting" });
  return `${counts?.waiting ?? "…"}: ${page?.jobs.map(({ payload }) => payload.width * 2).join(", ") ?? ""}`;
}

describe("a React component", () => {
  it("shows the counts and the jobs, with the payload typed by the name", async () => {
    vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
    const place = document.body.appendChild(document.createElement("main"));
    const root = createRoot(place);
    await act(async () => root.render(<App />));
    await queue.addJob("resize", { width: 40 });
    await queue.addJob("resize", { width: 50 });
    await vi.waitFor(() => act(async () => expect(place.textContent).toBe("2: 80, 100")), 10_000);
    await act(async () => root.unmount());
    vi.unstubAllGlobals();
    await queue.close();
  });
});
