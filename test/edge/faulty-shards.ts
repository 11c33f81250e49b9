import type { QueueNamespace } from "@quayside/edge";

/** The fault of an object: each call fails at once; no call is answered; its answers are lost; or what is done instead. */
export type Fault =
  | "throws"
  | "hangs"
  | "loses"
  | ((call: () => Promise<unknown>, verb: string, args: readonly unknown[]) => Promise<unknown>);

/** A namespace of which the objects of one queue can be made to fail, and which counts the exchanges with each of them. */
export function faulty(namespace: QueueNamespace, queue: string) {
  const faults = new Map<string, Fault>();
  const exchanges = new Map<string, number>();
  const nameOf = (shard: number) => (shard === 0 ? queue : `${queue}#${shard}`);
  const failure = () => Object.assign(new Error("overloaded"), { overloaded: true, remote: true });
  const get: QueueNamespace["get"] = (id) => {
    const stub = namespace.get(id) as Record<string, (...args: unknown[]) => Promise<unknown>>;
    const name = id.name ?? "";
    return new Proxy(stub, {
      get: (_, verb: string) =>
        verb === "fetch"
          ? undefined
          : async (...args: unknown[]) => {
              if (verb === "exchange") exchanges.set(name, (exchanges.get(name) ?? 0) + 1);
              const fault = faults.get(name);
              const call = () => stub[verb]?.(...args) as Promise<unknown>;
              if (fault === "throws") throw failure();
              if (fault === "hangs") return new Promise(() => {});
              if (fault === "loses") {
                await call();
                throw failure();
              }
              return fault ? fault(call, verb, args) : call();
            },
    });
  };
  return {
    namespace: { idFromName: (name: string) => namespace.idFromName(name), get } satisfies QueueNamespace,
    set: (shard: number, fault: Fault | undefined) =>
      fault === undefined ? faults.delete(nameOf(shard)) : faults.set(nameOf(shard), fault),
    /** Exchanges that this shard was asked for so far. */
    exchangesWith: (shard: number) => exchanges.get(nameOf(shard)) ?? 0,
  };
}
