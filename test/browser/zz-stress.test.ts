import { IndexedDbStore } from "@quayside/browser";
import { expect, it } from "vitest";
import { databaseOf, deleteByForce, exists, freshName } from "./support/databases.ts";
import { count, increment } from "./support/programs.ts";
const times = <T>(amount: number, run: () => T): T[] => Array.from({ length: amount }, run);
it("stress", async () => {
  for (let round = 0; round < 60; round++) {
    const log: string[] = []; const t0 = performance.now(); const L = (s: string) => { if (log.length < 400) log.push(Math.round(performance.now() - t0) + " " + s); };
    const origTx = IDBDatabase.prototype.transaction; let open = 0; const live = new Map<number, string>(); let id = 0;
    IDBDatabase.prototype.transaction = function (this: IDBDatabase, ...a: any) {
      let tx: IDBTransaction; try { tx = origTx.apply(this, a); } catch (e) { L("tx throw " + e); throw e; }
      const my = ++id; live.set(my, "created at " + Math.round(performance.now() - t0));
      tx.addEventListener("complete", () => live.delete(my)); tx.addEventListener("abort", () => { live.delete(my); L("tx abort " + tx.error); });
      return tx;
    } as any;
    const origOpen = IDBFactory.prototype.open;
    IDBFactory.prototype.open = function (...a: any) { const my = ++open; L("open " + my); const r = (origOpen as any).apply(this, a); r.addEventListener("success", () => L("opened " + my)); r.addEventListener("error", () => L("open err " + my + " " + r.error)); r.addEventListener("blocked", () => L("blocked " + my)); r.addEventListener("upgradeneeded", (e: any) => L("upgrade " + my + " from " + e.oldVersion)); return r; } as any;
    const name = freshName();
    const store = new IndexedDbStore({ name, openTimeoutMs: 60000 });
    await store.transact(increment);
    let deleted = false;
    const ends: Promise<unknown>[] = [];
    let settled = 0;
    const deleting = deleteByForce(name).then(() => { deleted = true; L("cdp done"); });
    const main = (async () => {
      while (!deleted) {
        ends.push(...times(20, () => store.transact(increment).catch((e: unknown) => e).finally(() => settled++)));
        await ends.at(-20);
      }
      await deleting;
      await Promise.all(ends);
      const r = await store.transact(count).catch((e) => e.details.reason);
      return r;
    })();
    const res = await Promise.race([main, new Promise((r) => setTimeout(() => r("HANG"), 5000))]);
    IDBDatabase.prototype.transaction = origTx; IDBFactory.prototype.open = origOpen;
    if (res !== "deleted") { console.log("round", round, res, "deleted", deleted, "ends", ends.length, "settled", settled, "live", JSON.stringify([...live]), "\n" + log.slice(0, 20).join("\n") + "\n...\n" + log.slice(-40).join("\n")); if (res === "HANG") return; }
  }
}, 300000);
