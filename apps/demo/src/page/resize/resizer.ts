import type { FromThread, ResizedPicture, Step, ToThread } from "./protocol.ts";

export interface ResizeOptions {
  readonly width: number;
  readonly height: number;
  /** Longest data URL, in characters. */
  readonly limit: number;
  readonly pauseMs: number;
  readonly signal: AbortSignal;
  readonly onStep: (step: Step) => void;
}

/** Thrown when the bytes are no picture. */
export class NotAPictureError extends Error {
  override readonly name = "NotAPictureError";
}

interface Pending {
  readonly onStep: (step: Step) => void;
  readonly resolve: (picture: ResizedPicture) => void;
  readonly reject: (error: unknown) => void;
}

/** The page's side of the thread that resizes. The thread starts with the first picture. */
class Resizer {
  readonly #pending = new Map<number, Pending>();
  #thread: Worker | undefined;
  #lastId = 0;

  async resize(file: Blob, { signal, onStep, ...request }: ResizeOptions): Promise<ResizedPicture> {
    signal.throwIfAborted();
    const id = ++this.#lastId;
    const cancel = () => {
      this.#post({ type: "cancel", id });
      this.#pending.get(id)?.reject(signal.reason);
    };
    try {
      return await new Promise<ResizedPicture>((resolve, reject) => {
        this.#pending.set(id, { onStep, resolve, reject });
        signal.addEventListener("abort", cancel, { once: true });
        this.#post({ type: "resize", id, file, ...request });
      });
    } finally {
      this.#pending.delete(id);
      signal.removeEventListener("abort", cancel);
    }
  }

  #post(message: ToThread): void {
    this.#thread ??= this.#start();
    this.#thread.postMessage(message);
  }

  #start(): Worker {
    const thread = new Worker(new URL("./resize-thread.ts", import.meta.url), { type: "module" });
    thread.addEventListener("message", ({ data }: MessageEvent<FromThread>) => this.#hear(data));
    // It could not start or broke down: all that it had is lost, the next picture gets a new one.
    thread.addEventListener("error", ({ message }) => {
      this.#thread = undefined;
      thread.terminate();
      const error = new Error(`The resizing thread failed${message ? `: ${message}` : ""}`);
      for (const { reject } of [...this.#pending.values()]) reject(error);
    });
    return thread;
  }

  #hear(message: FromThread): void {
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    if (message.type === "step") pending.onStep(message.step);
    else if (message.type === "done") pending.resolve(message.picture);
    else pending.reject(message.isImage ? new Error(message.message) : new NotAPictureError(message.message));
  }
}

export const resizer = new Resizer();
