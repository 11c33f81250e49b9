import type { Plan, Step } from "./crash-plan.ts";

/**
 * What each object is to do to itself. It lies in the module, which outlives objects that abort themselves, and by the
 * object's id, for an object that an alarm alone has woken does not know its name.
 */
class Plans {
  readonly #plans = new Map<string, { step: Step; left: number }>();
  readonly #contexts = new Map<string, DurableObjectState>();
  readonly #ids = new Map<string, string>();

  set(name: string, id: string, { step, times }: Plan): void {
    this.#ids.set(name, id);
    this.#plans.set(id, { step, left: times });
  }

  enter(ctx: DurableObjectState): void {
    this.#contexts.set(ctx.id.toString(), ctx);
    if (ctx.id.name !== undefined) this.#ids.set(ctx.id.name, ctx.id.toString());
  }

  /** Aborts the object, if it is to die here. */
  die(of: DurableObjectState | string, step: Step): void {
    const id = this.#idOf(of);
    const plan = this.#plans.get(id);
    if (plan?.step !== step || plan.left === 0) return;
    plan.left--;
    this.kill(of);
  }

  kill(of: DurableObjectState | string): void {
    const id = this.#idOf(of);
    console.log(`died ${id}`);
    this.#contexts.get(id)?.abort("died");
  }

  #idOf(of: DurableObjectState | string): string {
    return typeof of === "string" ? (this.#ids.get(of) ?? "") : of.id.toString();
  }
}

export const plans = new Plans();

/** Has the object die at the steps that its own storage can tell: what changes hands within a transaction says which it is. */
export function trap(ctx: DurableObjectState): void {
  plans.enter(ctx);
  const { storage } = ctx;
  const transact = storage.transactionSync.bind(storage);
  const sync = storage.sync.bind(storage);
  // A settlement takes its job out of the line. That its lease is empty then need not be written (`deferrable`).
  const nothing = { jobs: 0, line: 0, held: false };
  const made = () => [...storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'quayside_jobs'")].length > 0;
  const records = () => ({
    jobs: [...storage.sql.exec("SELECT 1 FROM quayside_jobs")].length,
    line: [...storage.sql.exec("SELECT 1 FROM quayside_jobs WHERE place = 'ready'")].length,
    held: [...storage.sql.exec<{ record: string }>("SELECT record FROM quayside_leases")].some(
      ({ record }) => JSON.parse(record).held.length > 0,
    ),
  });
  // The first put makes the tables.
  const look = () => (made() ? records() : nothing);
  let claimed = false;
  storage.transactionSync = (run) => {
    const before = look();
    let after = before;
    const result = transact(() => {
      const result = run();
      after = look();
      if (!before.held && after.held) plans.die(ctx, "before the claim was committed");
      if (before.held && after.line < before.line) plans.die(ctx, "before the settlement was committed");
      return result;
    });
    if (after.jobs > before.jobs) plans.die(ctx, "after the add was committed");
    if (!before.held && after.held) {
      claimed = true;
      plans.die(ctx, "after the claim was committed");
    }
    if (before.held && after.line < before.line) plans.die(ctx, "after the settlement was committed");
    return result;
  };
  storage.sync = async () => {
    await sync();
    if (claimed) plans.die(ctx, "after the claim was on disk");
    claimed = false;
  };
}
