import type { Clock } from "../driver/clock.ts";
import type { Driver } from "../driver/driver.ts";
import { ExchangeLine } from "./exchange-line.ts";

const KEY_LENGTH = 16;

export interface EnlistOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly report: (error: unknown, sends?: number) => void;
  /** The worker's label. */
  readonly name: string | undefined;
  readonly leaseMs: number;
}

/** A worker as its driver knows it, until it leaves. */
export interface Enlisted {
  /** Its key: random, so that no other worker, and no earlier life of this one, is taken for it (R8). */
  readonly id: string;
  readonly line: ExchangeLine;
  /** Gives back what stands for its life, such as a lock. */
  leave(): void;
}

/** A fresh identity: new key, its lock, its line of exchanges from 1. */
export async function enlist(driver: Driver, options: EnlistOptions): Promise<Enlisted> {
  const { clock, random, report, name, leaseMs } = options;
  const id = Array.from({ length: KEY_LENGTH }, () => Math.floor(random() * 36).toString(36)).join("");
  const enlistment = (await driver.enlist?.(id)) ?? { liveness: "time", leave() {} };
  const identity = { worker: id, ...(name !== undefined && { name }), liveness: enlistment.liveness, leaseMs };
  return {
    id,
    line: new ExchangeLine(driver, identity, { clock, random, report }),
    leave: () => enlistment.leave(),
  };
}
