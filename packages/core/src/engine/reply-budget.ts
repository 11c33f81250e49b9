import type { StoredJob } from "../job/job-record.ts";
import type { Held, LeaseRecord, Program } from "./store.ts";
import type { ChildrenPage } from "./verbs.ts";

/**
 * The room that is left in an answer that leaves its process (R31). What does not fit is left for the next call: nothing is
 * claimed that the reply does not carry, and a page says where to go on.
 */
export interface ReplyRoom {
  /** Leaves room for what others put into the same answer. */
  atMost(bytes: number | undefined): void;
  /** Whether a worker that runs these jobs, or its store, has no room for the lease of another. */
  full(held: readonly Held[], leases: readonly LeaseRecord[]): boolean;
  /** Takes room for a record. True when there was none. */
  refuses(record: object): boolean;
  /** Takes room for a job that is claimed, in the answer and in the lease. True when there was none. */
  refusesClaim(job: StoredJob): boolean;
  /** Those of these jobs for which there is room, the first ones. */
  fitting(jobs: readonly Held[]): Program<readonly Held[]>;
  /** How the children of a parent ended, as far as there is room. */
  children(parent: { readonly queue: string; readonly id: string }): Program<ChildrenPage>;
}
