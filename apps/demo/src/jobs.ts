import { defineJobs } from "@quayside/core";
import * as z from "zod/mini";

/**
 * The job maps of the demo, shared by the page and the Worker: names, payloads, and how each job is tried again.
 * zod/mini, because the page carries it too (4 kB in place of 92); it has no messages of its own, so they stand here.
 */

const text = (most: number) =>
  z.string("must be text").check(z.minLength(1, "must not be empty"), z.maxLength(most, `at most ${most} characters`));
const pixels = z.int("must be a whole number").check(z.minimum(1, "must be at least 1"));

/** Longest data URL of a thumbnail. A payload may have 128 KiB; a list of jobs is quicker to look at with less. */
export const THUMBNAIL_LIMIT = 60_000;

/** Jobs that a tab does for itself. */
export const tabJobs = defineJobs({
  /** Makes a thumbnail of a picked file that fits into `width` × `height`. The file itself lies beside the queue. */
  "image-resize": {
    input: z.object({ fileId: text(64), name: text(255), width: pixels, height: pixels }),
    maxAttempts: 3,
    backoff: { kind: "exponential", delay: "1s", jitter: 0.2 },
    timeout: "30s",
  },
  /** Hands a finished thumbnail over to the edge. */
  deliver: {
    input: z.object({ source: text(64), name: text(255) }),
    // Before the pictures that still wait: what is finished should not lie around.
    priority: 10,
    maxAttempts: 50,
    backoff: { kind: "exponential", delay: "1s", max: "1m", jitter: 0.5 },
    timeout: "30s",
  },
});

/** Jobs that the edge does. */
export const edgeJobs = defineJobs({
  "store-thumbnail": {
    input: z.object({
      /** The job that made it: the same thumbnail is stored once, however often it arrives. */
      source: text(64),
      name: text(255),
      width: pixels,
      height: pixels,
      dataUrl: z
        .string("must be a data URL")
        .check(
          z.regex(/^data:image\/(?:jpeg|png|webp);base64,[A-Za-z0-9+/]+=*$/, "must be an image as a data URL"),
          z.maxLength(THUMBNAIL_LIMIT, `at most ${THUMBNAIL_LIMIT} characters`),
        ),
    }),
    maxAttempts: 5,
  },
  /** Draws all thumbnails that have no sheet yet onto sheet number `sheet`. */
  "contact-sheet": { input: z.object({ sheet: pixels }), maxAttempts: 5 },
  email: {
    input: z.object({
      to: z.email("must be an e-mail address"),
      subject: text(200),
      body: z.string("must be text").check(z.maxLength(10_000, "at most 10000 characters")),
    }),
    maxAttempts: 5,
    backoff: { kind: "exponential", delay: "1s", max: "1h", jitter: 0.5 },
    timeout: "30s",
  },
});

/** How long after the last thumbnail of a burst its contact sheet is made. */
export const SHEET_DELAY_MS = 5_000;

/** The demo's own part of the API, beside the queues. */
export interface GalleryView {
  readonly thumbnails: readonly StoredThumbnail[];
  readonly sheet?: { readonly number: number; readonly thumbnails: number; readonly builtAt: number };
}

export interface StoredThumbnail {
  readonly source: string;
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly storedAt: number;
  /** How often it was stored: 1, unless something was done twice. */
  readonly arrivals: number;
  /** The sheet it is on. */
  readonly sheet?: number;
}

export interface Mail {
  readonly id: string;
  readonly to: string;
  readonly subject: string;
  readonly body: string;
  readonly deliveredAt: number;
  readonly arrivals: number;
}
