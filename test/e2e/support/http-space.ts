import { httpDriver } from "@quayside/core/http";
import { createManualClock, type DriverUnderTest } from "@quayside/testing";

let opened = 0;

const QUIET_TURNS = 5;

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
    let inFlight = 0;
    const counted: typeof fetch = async (...request) => {
      inFlight++;
      try {
        const response = await fetch(...request);
        // A stream of changes stays open; all else is on its way until its body is here.
        if (response.headers.get("content-type")?.startsWith("text/event-stream")) return response;
        const body = await response.arrayBuffer();
        const { status, statusText, headers } = response;
        return new Response(body.byteLength > 0 ? body : null, { status, statusText, headers });
      } finally {
        inFlight--;
      }
    };
    /** Resolves once no request has been on its way for some turns of the event loop. */
    const settled = async () => {
      for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
        if (inFlight > 0) quiet = 0;
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const make = () => {
      const driver = httpDriver({ url: `${space}/api`, token: "token-all", queues: ["mail"], fetch: counted });
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
        // An exchange answers when to look next, counted from before the move: its answer must not arrive after the move.
        await settled();
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
  "R10, R32: jobs that others took back for the last time end under their own worker, at most so many as it asks for",
];
