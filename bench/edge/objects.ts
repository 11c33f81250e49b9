/** The bindings of the Worker: which contestant's object is asked. */
export type Kind =
  | "KEEP_QUEUE"
  | "WORK_QUEUE"
  | "WIDE_QUEUE"
  | "WIDEST_QUEUE"
  | "AHEAD_QUEUE"
  | "RAW_QUEUE"
  | "AGENT_QUEUE";

let opened = 0;

/** An object of a contestant, and how to ask it: each request is one call, and is what is timed. */
export class BenchObject {
  readonly name: string;
  readonly #url: string;
  readonly #kind: Kind;

  private constructor(url: string, kind: Kind) {
    this.#url = url;
    this.#kind = kind;
    this.name = `bench-${++opened}`;
  }

  /** One that nobody has used, its tables made. Quayside's keep nothing of what completes, as the others do. */
  static async open(url: string, kind: Kind): Promise<BenchObject> {
    const object = new BenchObject(url, kind);
    await object.inside("add", 0, 1);
    if (kind !== "RAW_QUEUE" && kind !== "AGENT_QUEUE") await object.inside("keepNone");
    return object;
  }

  inside<T>(method: string, ...args: readonly number[]): Promise<T> {
    return this.#post(`/inside/${this.#kind}/${this.name}/${method}`, args);
  }

  fromWorker<T>(method: string, ...args: readonly number[]): Promise<T> {
    return this.#post(`/rpc/${this.#kind}/${this.name}/${method}`, args);
  }

  async #post<T>(path: string, args: readonly number[]): Promise<T> {
    const query = args.map((arg) => `of=${arg}`).join("&");
    const response = await fetch(`${this.#url}${path}?${query}`, { method: "POST" });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text.slice(0, 500)}`);
    return JSON.parse(text) as T;
  }
}

/** How long it took, in ms. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
