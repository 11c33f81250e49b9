import type { StoredJob } from "../job/record.ts";
import { move } from "./door.ts";
import type { Program } from "./store.ts";
import type { Turn } from "./turn.ts";

/** Moves each of these jobs to where `change` puts it. */
export function* moveEach(
  turn: Turn,
  jobs: readonly StoredJob[],
  change: (job: StoredJob) => StoredJob,
): Program<void> {
  yield* move(
    turn,
    jobs.map((job) => ({ from: job.key, job: change(job) })),
  );
}
