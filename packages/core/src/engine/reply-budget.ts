import type { StoredJob } from "../job/job-record.ts";
import type { Held, LeaseRecord, Program } from "./store.ts";
import type { ChildrenPage } from "./verbs.ts";

/**
 * The remaining bytes of a reply that leaves its process (R31). Records that do not fit are left to the next call: no
 * job is claimed that the reply does not contain, and a page has a cursor.
 */
export interface ReplyRoom {
  /** Limits the reply to `bytes`, if other parts share the same reply. */
  atMost(bytes: number | undefined): void;
  /** Returns whether the lease or its store has no room for another running job. */
  full(held: readonly Held[], leases: readonly LeaseRecord[]): boolean;
  /** Reserves room for a record. Returns true if there is none. */
  refuses(record: object): boolean;
  /** Reserves room for a claimed job, in the reply and in the lease. Returns true if there is none. */
  refusesClaim(job: StoredJob): boolean;
  /** Returns the first of these jobs, as many as fit. */
  fitting(jobs: readonly Held[]): Program<readonly Held[]>;
  /** Returns the outcomes of a parent's children, as many as fit. */
  children(parent: { readonly queue: string; readonly id: string }): Program<ChildrenPage>;
}
