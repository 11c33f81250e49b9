import { memoryDriver, Queue } from "@quayside/core";
import { expect, it } from "vitest";

// The usage of the first document, as written there: only the adapter is called driver here.

interface MyJobs {
  "welcome-email": { userId: string; email: string };
  "process-image": { imageId: string; filters: string[] };
}

it("the event-based usage of the first document runs as written", async () => {
  const done: unknown[] = [];
  const sendWelcomeEmail = async (userId: string, email: string) => done.push([userId, email]);
  const processImage = async (imageId: string, filters: string[]) => done.push([imageId, filters]);
  const driver = memoryDriver();

  const queue = new Queue<MyJobs>("my-queue", driver);
  const idle = new Promise((resolve) => queue.on("idle", resolve));

  queue.on("job:welcome-email", async ({ userId, email }) => {
    await sendWelcomeEmail(userId, email);
  });
  queue.on("job:process-image", async ({ imageId, filters }) => {
    await processImage(imageId, filters);
  });

  await queue.addJob("welcome-email", { userId: "123", email: "user@example.com" });
  await queue.delay(10).addJob("process-image", { imageId: "456", filters: ["blur"] });

  const image = new Promise((resolve) =>
    queue.on("completed", ({ job }) => job.name === "process-image" && resolve(job)),
  );
  await queue.run();
  await idle;
  await image;
  await queue.stop();

  expect(done).toEqual([
    ["123", "user@example.com"],
    ["456", ["blur"]],
  ]);
});

it("options may be said fluently before the job, as there", async () => {
  const queue = new Queue<{ email: { to: string; subject: string; body: string } }>("mail", memoryDriver());
  const id = await queue.delay(5).priority(10).addJob("email", { to: "...", subject: "...", body: "..." });
  expect(await queue.get(id)).toMatchObject({ priority: 10, payload: { to: "..." } });
});
