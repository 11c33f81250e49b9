import type { QueueNamespace } from "@quayside/edge";

/** The fault of an object: each call fails at once; no call is answered; its answers are lost; or what is done instead. */
export type Fault =
  | "throws"
  | "hangs"
  | "loses"
  | ((call: () => Promise<unknown>, verb: string, args: readonly unknown[]) => Promise<unknown>);

/**
 * A namespace of which some objects can be made to fail, and which counts the exchanges with each of them.
 *
 * @param objects the queue whose shards they are, or their names.
 */
export function faulty(namespace: QueueNamespace, objects: string | readonly string[]) {
  const faults = new Map<string, Fault>();
  const exchanges = new Map<string, number>();
  const nameOf = (index: number) => {
    if (typeof objects !== "string") return objects[index] as string;
    return index === 0 ? objects : `${objects}#${index}`;
  };
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
    set: (index: number, fault: Fault | undefined) =>
      fault === undefined ? faults.delete(nameOf(index)) : faults.set(nameOf(index), fault),
    /** Exchanges that this object was asked for so far. */
    exchangesWith: (index: number) => exchanges.get(nameOf(index)) ?? 0,
  };
}
