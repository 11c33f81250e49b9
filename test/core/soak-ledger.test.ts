import { describe, expect, it } from "vitest";
import { Ledger } from "../soak/ledger.ts";

/** A ledger with one job that was acknowledged, and a function that notes a run of it. */
function oneJob() {
  const ledger = new Ledger();
  ledger.keep([
    { what: "tried", job: 1, kind: "plain" },
    { what: "added", job: 1 },
  ]);
  const began = (worker: string) =>
    ledger.keep([{ what: "began", job: 1, id: "a", run: `${worker}/1`, worker, kind: "plain" }]);
  return { ledger, began, violations: () => ledger.verdict([]).violations.join("\n") };
}

describe("the ledger of the soak", () => {
  it("excuses a run of an object that has ended, noted after its end", () => {
    const { ledger, began, violations } = oneJob();
    ledger.replaced("object ", "object 1.", "killed");
    began("object 0.late");
    began("remote 3");
    ledger.keep([{ what: "done", job: 1, run: "remote 3/1" }]);
    expect(violations()).toBe("");
  });

  it("excuses no run of the present object", () => {
    const { ledger, began, violations } = oneJob();
    ledger.replaced("object ", "object 1.", "killed");
    began("object 1.now");
    began("remote 3");
    ledger.keep([{ what: "done", job: 1, run: "remote 3/1" }]);
    const found = violations();
    expect(found).toContain("two runs at once: 1");
    expect(found).toContain("run too often: 1");
  });
});
