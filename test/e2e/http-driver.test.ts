import { createManualClock, driverConformance, type OpenDriver } from "@quayside/core/testing";
import { httpDriver } from "@quayside/edge/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestHarness } from "wrangler";

const server = createTestHarness({
  workers: [{ configPath: "../edge/wrangler.http.jsonc" }],
  root: import.meta.dirname,
});
let base = "";

beforeAll(async () => {
  base = (await server.listen()).url.href.replace(/\/$/, "");
});
afterAll(() => server.close());

let opened = 0;

const open: OpenDriver = async () => {
  const space = `${base}/spaces/${opened++}`;
  const clock = createManualClock();
  const drivers: { close(): Promise<void> }[] = [];
  const make = () => {
    const driver = httpDriver({ url: `${space}/api`, token: "token-all", queues: ["mail", "logs", "other"] });
    drivers.push(driver);
    return driver;
  };
  const move = async (body: { advance?: number; jump?: number }) => {
    const response = await fetch(`${space}/time`, { method: "POST", body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`The clock answered ${response.status}.`);
  };
  return {
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

describe("HttpDriver, against a real server", () => {
  driverConformance({ describe, it, expect }, open);
});
