import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, vi } from "vitest";
import type { Shop } from "./embedded.ts";

let opened = 0;

/** Returns the name of an object that no other case uses. */
export const freshName = (): string => `inside-${opened++}`;

/** Runs `work` inside an object of its own; `ran` lists the orders of the checked jobs that have run there. */
export function inside<T>(work: (shop: Shop, ran: string[]) => Promise<T>, name = freshName()): Promise<T> {
  const object = env.SHOP.getByName(name);
  return runInDurableObject(object, (shop: Shop) => {
    const ran: string[] = [];
    shop.mail.on("job:checked", ({ order }) => void ran.push(order));
    return work(shop, ran);
  });
}

/** Resolves after a job that is added now has run: what was due before has run too. */
export async function settled({ mail }: Shop): Promise<void> {
  const id = await mail.addJob("sleep", { ms: 0 });
  await vi.waitFor(async () => expect(await mail.get(id)).toMatchObject({ state: "completed" }));
}
