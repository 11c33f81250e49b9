import type { StoredJob } from "../job/job-record.ts";
import type { Held, LeaseRecord, Program } from "./store.ts";
import type { ChildrenPage } from "./verbs.ts";

/**
 * The remaining bytes of a reply that leaves its process (R31). Records that do not fit are left to the next call: a
 * job is claimed only if the reply contains it, and a page that ends early has a cursor.
 */
export interface ReplyRoom {
  /** Limits the reply to `bytes`, if replies of other stores share its room. */
  atMost(bytes: number | undefined): void;
  /** Returns whether there is no room for another running job in the worker's lease or in the store. */
  full(held: readonly Held[], leases: readonly LeaseRecord[]): boolean;
  /** Reserves room for a record. Returns true if there is not enough. */
  refuses(record: object): boolean;
  /** Reserves room for a claimed job, in the reply and in the lease. Returns true if there is not enough. */
  refusesClaim(job: StoredJob): boolean;
  /** Returns the first of these running jobs, as many as fit into the reply. */
  fitting(jobs: readonly Held[]): Program<readonly Held[]>;
  /** Returns the outcomes of a parent's children, as many as fit. */
  children(parent: { readonly queue: string; readonly id: string }): Program<ChildrenPage>;
}
