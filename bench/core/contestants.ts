import { memoryDriver, Queue } from "@quayside/core";
import fastq from "fastq";
import PQueue from "p-queue";

interface Jobs {
  count: { index: number };
}

/** Adds so many no-op jobs at once and works them all, so many at a time. Resolves when the last has ended. */
export type AddAndWork = (jobs: number, concurrency: number) => Promise<void>;

/** In memory, with all that a job of Quayside is: a record, a claim, a lease, a settlement. */
export const quayside: AddAndWork = async (jobs, concurrency) => {
  const queue = new Queue<Jobs>("bench", memoryDriver());
  await queue.configure({ keep: { completed: 0 } });
  let worked = 0;
  const allWorked = new Promise<void>((resolve) => {
    queue.on("job:count", () => {
      if (++worked === jobs) resolve();
    });
  });
  const added: Promise<string>[] = [];
  for (let index = 0; index < jobs; index++) added.push(queue.addJob("count", { index }));
  await Promise.all(added);
  await queue.run({ concurrency });
  await allWorked;
  await queue.stop();
};

/** Functions in a list: nothing is stored, nothing can be looked up. */
export const pQueue: AddAndWork = async (jobs, concurrency) => {
  const queue = new PQueue({ concurrency, autoStart: false });
  let worked = 0;
  const added: Promise<void>[] = [];
  for (let index = 0; index < jobs; index++) {
    added.push(
      queue.add(async () => {
        worked++;
      }),
    );
  }
  queue.start();
  await Promise.all(added);
  if (worked !== jobs) throw new Error(`p-queue worked ${worked} of ${jobs}.`);
};

/** Payloads in a list, one worker function. */
export const fastQ: AddAndWork = async (jobs, concurrency) => {
  let worked = 0;
  const queue = fastq.promise(async (_payload: Jobs["count"]) => {
    worked++;
  }, concurrency);
  queue.pause();
  const added: Promise<void>[] = [];
  for (let index = 0; index < jobs; index++) added.push(queue.push({ index }));
  queue.resume();
  await Promise.all(added);
  if (worked !== jobs) throw new Error(`fastq worked ${worked} of ${jobs}.`);
};

export const CONTESTANTS: Readonly<Record<string, AddAndWork>> = {
  Quayside: quayside,
  "p-queue": pQueue,
  fastq: fastQ,
};
