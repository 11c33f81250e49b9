import { type IndexedDbDriver, type IndexedDbDriverOptions, IndexedDbStore, indexedDbDriver } from "@quayside/browser";
import type { Clock } from "@quayside/core";
import { createManualClock, type OpenDriver } from "@quayside/testing";
import { drop, freshName } from "./databases.ts";

/** Opens a driver on a database of its own, on a clock that the test moves. */
export const openWith = (options: Omit<IndexedDbDriverOptions, "name" | "clock">): OpenDriver =>
  openDriverWith((own) => indexedDbDriver({ ...own, ...options }));

/** As `openWith`, with a driver that the test makes. */
export const openDriverWith =
  (make: (options: Pick<IndexedDbDriverOptions, "name"> & { readonly clock: Clock }) => IndexedDbDriver): OpenDriver =>
  async () => {
    const name = freshName();
    const clock = createManualClock();
    const store = new IndexedDbStore({ name });
    const closers = [() => store.close()];
    const another = async () => {
      const driver = make({ name, clock });
      closers.push(() => driver.close());
      return driver;
    };
    return {
      driver: await another(),
      another,
      clock,
      advance: (ms) => clock.advance(ms),
      jump: async (ms) => clock.jump(ms),
      transact: (start) => store.transact(start),
      close: async () => {
        for (const close of closers) await close();
        await drop(name);
      },
    };
  };
