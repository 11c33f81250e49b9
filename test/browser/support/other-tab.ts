import type { Change } from "@quayside/core/engine";
import type { Ask, Told } from "./other-tab-worker.ts";

/** Another context of the same site with its own memory, connections, locks and channels: a worker stands for a tab. */
export class OtherTab {
  readonly heard: Change[] = [];
  readonly #worker = new Worker(new URL("./other-tab-worker.ts", import.meta.url), { type: "module" });
  readonly #answers: ((answer: unknown) => void)[] = [];

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<Told>) => {
      if ("heard" in data) this.heard.push(...data.heard);
      else this.#answers.shift()?.(data.answer);
    };
  }

  /** Answers are in the order of the questions. */
  ask(question: Ask): Promise<unknown> {
    return new Promise((resolve) => {
      this.#answers.push(resolve);
      this.#worker.postMessage(question);
    });
  }

  /** Ends it without a warning, as a crash does. */
  crash(): void {
    this.#worker.terminate();
  }
}
