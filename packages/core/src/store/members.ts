import { kind, removeCells } from "./cells.ts";
import { removeRange, startingWith } from "./operations.ts";
import type { Program } from "./store.ts";

interface Named {
  readonly queue: string;
  readonly id: string;
}

/** The cells that hold the children of one parent, by `memberName`. */
export const members = (parent: Named) => kind("member", parent.queue, parent.id);

export const memberName = ({ queue, id }: Named): string => JSON.stringify([queue, id]);

/** Removes what is stored about the children of a parent; those that have not ended go on by themselves. */
export function* removeFamily(parent: Named): Program<void> {
  yield* removeCells(kind("family", parent.queue), [parent.id]);
  yield* removeRange("cells", startingWith(members(parent).text));
}
