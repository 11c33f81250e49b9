import { httpDriver } from "@quayside/core/http";

// Needs @quayside/core alone. The code of exchanges is loaded with the first one.
const reply = { exchange: 1, jobs: [], lost: [], cancel: [], interrupted: [], unknown: [] };
const driver = httpDriver({ url: "https://app.example/api/queues", fetch: async () => Response.json(reply) });
const { exchange } = await driver.exchange({
  worker: "worker",
  liveness: "time",
  leaseMs: 30_000,
  exchange: 1,
  settle: [],
  running: [],
  claim: { limit: 1, queues: [{ queue: "mail" }] },
});
await driver.close();
console.log(`exchange ${exchange} is answered`);
