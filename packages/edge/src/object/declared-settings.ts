import type { QueueConfig } from "@quayside/core";
import { canonicalText, changedSettings, resolveSettings, type StoredSettings } from "@quayside/core/engine";
import type { DurableQueueOptions } from "./durable-queue.ts";
import type { ObjectDriver } from "./object-driver.ts";

/** The settings in the options of an object's class. Each queue gets them once per start of the object. */
export class DeclaredSettings {
  readonly #driver: ObjectDriver;
  readonly #config: QueueConfig;
  readonly #stored = new Set<string>();

  /** @throws {QuaysideError} `invalid_option` for an invalid setting. */
  constructor(
    driver: ObjectDriver,
    { keep, rateLimit, maxActive }: Pick<DurableQueueOptions<never, never>, "keep" | "rateLimit" | "maxActive">,
  ) {
    this.#driver = driver;
    this.#config = resolveSettings({ keep, rateLimit, maxActive });
  }

  /** Stores the settings of these queues. Writes nothing for a queue that has them already. */
  async store(queues: Iterable<string>): Promise<void> {
    const config = this.#config;
    if (Object.keys(config).length === 0) return;
    for (const queue of queues) {
      if (this.#stored.has(queue)) continue;
      const stored = await this.#driver.settings(queue);
      if (textOf(changedSettings(stored, config)) !== textOf(stored))
        await this.#driver.command({ type: "configure", queue, ...config });
      this.#stored.add(queue);
    }
  }
}

const textOf = (settings: StoredSettings): string => canonicalText(JSON.stringify(settings));
