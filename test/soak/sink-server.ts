import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Ledger } from "./ledger.ts";
import type { Note } from "./notes.ts";

/** Keeps the notes that are posted to it. */
export async function serveLedger(ledger: Ledger): Promise<{ readonly url: string; close(): void }> {
  const server = createServer(async (request, response) => {
    let body: string;
    try {
      body = Buffer.concat(await request.toArray()).toString();
    } catch {
      // Its process was killed while it wrote: it has not been told that this was kept.
      return;
    }
    ledger.keep(JSON.parse(body) as Note[]);
    response.writeHead(204).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
