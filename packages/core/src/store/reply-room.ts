import type { Held, Program } from "./store.ts";
import type { ChildrenPage } from "./verbs.ts";

/**
 * The room that is left in an answer that leaves its process (R31). What does not fit is left for the next call: nothing is
 * claimed that the reply does not carry, and a page says where to go on.
 */
export interface ReplyRoom {
  /** Leaves room for what others put into the same answer. */
  atMost(bytes: number | undefined): void;
  /** Takes room for a record. True when there was none. */
  refuses(record: object): boolean;
  /** Those of these jobs for which there is room, the first ones. */
  fitting(jobs: readonly Held[]): Program<readonly Held[]>;
  /** How the children of a parent ended, as far as there is room. */
  children(parent: { readonly queue: string; readonly id: string }): Program<ChildrenPage>;
}
