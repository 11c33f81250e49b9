import type { ExchangeRequest } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Fault } from "./faulty-shards.ts";
import { closeAll, open, until } from "./shards-at-fault.ts";

afterEach(closeAll);

const refusal = (code: string) => ({ ok: false, error: { code, message: `Refused: ${code}.`, details: {} } });

/** Refuses exchanges of which this is so. */
const refuses =
  (isSo: (request: ExchangeRequest) => boolean, code: string): Fault =>
  async (call, verb, [request]) =>
    verb === "exchange" && isSo(request as ExchangeRequest) ? refusal(code) : call();

const settlesAny = ({ settle }: ExchangeRequest): boolean => settle.length > 0;
const completes = ({ settle }: ExchangeRequest): boolean => settle.some(({ outcome }) => outcome === "completed");

describe("a shard that refuses its part of an exchange (R30)", () => {
  it.each([
    ["more than one settlement at once", ({ settle }) => settle.length > 1, "too_large"],
    ["claims", ({ claim, settle }) => claim.limit > 0 && settle.length > 0, "invalid_option"],
    ["reports", ({ progress }) => progress !== undefined, "bad_request"],
  ] as const satisfies readonly (readonly [string, (request: ExchangeRequest) => boolean, string])[])(
    "%s: all jobs complete there and elsewhere, each once",
    async (_, isSo, code) => {
      const clock = createManualClock();
      const { remote, faults, ids, producer } = await open(5);
      const { worker, told, ran } = remote(clock, async ({ log }) => log("here"));
      faults.set(2, refuses(isSo, code));
      await worker.run({ concurrency: 20 });
      await until(clock, 20, () => told.length >= ids.length);
      expect(told.toSorted()).toEqual(ids.map((id) => `completed ${id}`).toSorted());
      expect(ran).toHaveLength(ids.length);
      expect(await producer.counts()).toMatchObject({ completed: ids.length, active: 0 });
    },
  );

  it.each([["RPC"], ["HTTP"]] as const)(
    "completions, over %s: its jobs fail with the refusal as cause, those elsewhere complete",
    async (way) => {
      const clock = createManualClock();
      const { remote, faults, ids, of, producer } = await open(2);
      const { worker, told } = remote(way === "HTTP" ? way : clock);
      faults.set(1, refuses(completes, "invalid_result"));
      await worker.run({ concurrency: 8 });
      const isDone = () => told.length >= ids.length;
      if (way === "HTTP") await vi.waitFor(() => expect(isDone()).toBe(true), { timeout: 8_000 });
      else await until(clock, 20, isDone);
      const bad = of(1);
      const wanted = ids.map((id) => `${bad.includes(id) ? "failed" : "completed"} ${id}`);
      expect(told.toSorted()).toEqual(wanted.toSorted());
      expect(await producer.counts()).toMatchObject({ completed: 6, failed: 2, active: 0 });
      const job = await producer.get(bad[0] as string);
      expect(job?.error?.message).toBe("How this attempt ended could not be stored: Refused: invalid_result.");
    },
  );

  it("one poisoned settlement among ten: only that attempt fails", async () => {
    const clock = createManualClock();
    const { remote, faults, ids, of, producer } = await open(10);
    const [, , poison] = of(3);
    const { worker, told } = remote(clock, async ({ id }) => ({ id }));
    faults.set(
      3,
      refuses(
        ({ settle }) => settle.some((one) => one.outcome === "completed" && one.result?.includes(`"${poison}"`)),
        "result_too_large",
      ),
    );
    await worker.run({ concurrency: 40 });
    await until(clock, 20, () => told.length >= ids.length);
    expect(told).toContain(`failed ${poison}`);
    expect(told.filter((one) => one.startsWith("completed"))).toHaveLength(39);
    expect(await producer.counts()).toMatchObject({ completed: 39, failed: 1, active: 0 });
  });

  it("whatever settles: others go on, and it is not asked without a pause", async () => {
    const clock = createManualClock();
    const { remote, faults, ids, of } = await open(2);
    const { worker, told } = remote(clock);
    faults.set(0, refuses(settlesAny, "bad_request"));
    await worker.run({ concurrency: 3, lease: 9_000 });
    const others = ids.filter((id) => !of(0).includes(id));
    await until(clock, 20, () => others.every((id) => told.includes(`completed ${id}`)));
    const asked = faults.exchangesWith(0);
    const began = clock.monotonic();
    await until(clock, 100, () => clock.monotonic() > began + 20_000);
    expect(faults.exchangesWith(0) - asked).toBeLessThan(40);
    faults.set(0, undefined);
    await until(clock, 200, () => told.length >= ids.length);
  });

  it("claims alone: others go on, and it is asked with pauses until it takes them", async () => {
    const clock = createManualClock();
    const { remote, faults, ids, of } = await open(3);
    const { worker, told, errors } = remote(clock);
    faults.set(
      1,
      refuses(({ claim }) => claim.limit > 0, "forbidden"),
    );
    await worker.run({ concurrency: 2 });
    const others = ids.filter((id) => !of(1).includes(id));
    await until(clock, 20, () => others.every((id) => told.includes(`completed ${id}`)));
    expect(clock.monotonic()).toBeLessThan(3_000);
    const asked = faults.exchangesWith(1);
    const began = clock.monotonic();
    await until(clock, 100, () => clock.monotonic() > began + 30_000);
    expect(faults.exchangesWith(1) - asked).toBeLessThan(60);
    expect(errors.length).toBeLessThan(10);
    faults.set(1, undefined);
    await until(clock, 200, () => told.length >= ids.length);
  });
});
