import { createManualClock, type DriverUnderTest } from "@quayside/core/testing";
import { httpDriver } from "@quayside/edge/client";

let opened = 0;

/**
 * Opens a queue in a space of its own, on a clock that the test moves.
 *
 * @param base where the server listens, without a slash at the end; asked when a case opens its queue.
 * @param kind of space: see `SPLIT` of the Worker.
 */
export const openIn =
  (base: () => string, kind: string) => async (): Promise<DriverUnderTest & { readonly space: string }> => {
    const space = `${base()}/spaces/${kind}-${opened++}`;
    const clock = createManualClock();
    const drivers: { close(): Promise<void> }[] = [];
    const make = () => {
      const driver = httpDriver({ url: `${space}/api`, token: "token-all", queues: ["mail"] });
      drivers.push(driver);
      return driver;
    };
    const move = async (by: { readonly advance?: number; readonly jump?: number }) => {
      const response = await fetch(`${space}/time`, { method: "POST", body: JSON.stringify(by) });
      if (!response.ok) throw new Error(`The clock answered ${response.status}.`);
    };
    return {
      space,
      driver: make(),
      another: async () => make(),
      clock,
      advance: async (ms) => {
        await move({ advance: ms });
        await clock.advance(ms);
      },
      jump: async (ms) => {
        await move({ jump: ms });
        clock.jump(ms);
      },
      close: async () => {
        for (const driver of drivers) await driver.close();
      },
    };
  };

/** Over HTTP each queue is an object of its own: what these say of two queues in one store cannot hold there. */
export const WITHIN_ONE_STORE = [
  "R25: children may lie in other queues than their parent",
  "R10: all that the worker held comes back, with ids and dedupe keys as they were",
  "R10: who recovers is told of each job it took back, as it now stands",
  "R10: from its second interruption on a job is claimed alone",
];
