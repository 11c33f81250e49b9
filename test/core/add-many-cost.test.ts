import { memoryDriver } from "@quayside/core";
import type { NewJob } from "@quayside/core/engine";
import { expect, it, onTestFinished } from "vitest";

const job = (options: Partial<NewJob>): NewJob => ({ queue: "mail", name: "email", payload: "0", ...options });

/** Counts the elements of the lists that are searched from their start, until the test ends. */
function searches(): { steps: number } {
  const counted = { steps: 0 };
  for (const verb of ["find", "findIndex", "indexOf", "includes"] as const) {
    const real = Array.prototype[verb];
    Array.prototype[verb] = function (this: unknown[], ...given: unknown[]) {
      counted.steps += this.length;
      return Reflect.apply(real, this, given);
    } as never;
    onTestFinished(() => {
      Array.prototype[verb] = real as never;
    });
  }
  return counted;
}

const KINDS: Readonly<Record<string, (index: number, count: number) => NewJob>> = {
  "with ids of the caller": (index) => job({ id: `id ${index}` }),
  "with replace keys, each of them twice": (index, count) =>
    job({ dedupe: { key: `key ${index % (count / 2)}`, mode: "replace" } }),
  "in chains of flows": (index) =>
    job({ flow: { ref: `${index}`, ...(index % 10 > 0 && { parentRef: `${index - 1}` }) } }),
  "of as many groups": (index) => job({ group: { key: `group ${index}` } }),
};

for (const [kind, make] of Object.entries(KINDS))
  it(`R42: one add of 2,000 jobs ${kind} searches lists 4 times as far as one of 500`, async () => {
    const counted = searches();
    const steps = [];
    for (const count of [500, 2_000]) {
      const jobs = Array.from({ length: count }, (_, index) => make(index, count));
      const before = counted.steps;
      const added = await memoryDriver().enqueue(jobs);
      expect(added).toHaveLength(count);
      steps.push((counted.steps - before) / count);
    }
    const [few = 0, many = 0] = steps;
    expect(many).toBeLessThanOrEqual(few + 1);
  });
