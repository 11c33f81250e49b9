import { durableQueue, edgeQueue } from "@quayside/edge";
import { edgeJobs, SHEET_DELAY_MS } from "../jobs.ts";
import { type Env, galleryOf, inboxOf } from "./env.ts";

/**
 * The objects that keep the queues `gallery` and `mail` and work them. Handlers may run twice for one job, so what they
 * write goes by an id of the job: the second time changes nothing.
 */
export class EdgeQueues extends durableQueue<typeof edgeJobs, Env>({
  jobs: edgeJobs,
  handlers: {
    "store-thumbnail": async (thumbnail, { env }) => {
      const { sheet } = await galleryOf(env).store(thumbnail);
      if (sheet === undefined) return { stored: thumbnail.source };
      // The first thumbnail of a burst orders the sheet, those that follow find it ordered.
      await edgeQueue(env.QUEUES, "gallery", { jobs: edgeJobs }).addJob(
        "contact-sheet",
        { sheet },
        { delay: SHEET_DELAY_MS, dedupe: { key: `sheet-${sheet}`, mode: "drop" } },
      );
      return { stored: thumbnail.source, sheet };
    },

    "contact-sheet": async ({ sheet }, { env, release }) => {
      const gallery = galleryOf(env);
      const { quietMs } = await gallery.status();
      // More came in the meantime: the sheet waits for the last of them. Giving the job back spends no attempt.
      if (quietMs < SHEET_DELAY_MS) release(SHEET_DELAY_MS - quietMs);
      const made = await gallery.buildSheet(sheet);
      console.log(`Contact sheet ${made.sheet}: ${made.thumbnails} thumbnails`);
      return made;
    },

    email: async ({ to, subject, body }, { env, id, attempt, fail }) => {
      // Two addresses that go wrong, to see what happens then.
      if (to.startsWith("bounce@")) fail(`550 There is no mailbox ${to}`);
      if (to.startsWith("busy@") && attempt < 3) throw new Error(`451 The mailbox ${to} is busy, try again later`);
      await inboxOf(env).deliver({ id, to, subject, body });
      return { deliveredTo: to };
    },
  },
}) {}
