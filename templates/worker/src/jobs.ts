import { defineJobs } from "@quayside/core";
import * as z from "zod";

/** The jobs of this Worker. A page or another Worker that adds to its queues may import this too. */
export const jobs = defineJobs({
  email: {
    input: z.object({ to: z.email(), subject: z.string(), body: z.string() }),
    maxAttempts: 5,
    timeout: "30s",
  },
  digest: { input: z.object({ day: z.iso.date() }) },
});
