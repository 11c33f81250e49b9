import type { ConfigureOption, Queue, QueueConfig, QueueDefinition } from "@quayside/core";
import {
  canonicalText,
  changedSettings,
  declareSchedules,
  resolveSettings,
  type StoredSettings,
  settingsOf,
} from "@quayside/core/engine";
import { Layout } from "../shards/layout.ts";
import { shardOfKey } from "../shards/route.ts";
import type { ObjectDriver } from "./object-driver.ts";

export interface DeclaredSettingsOptions {
  readonly driver: ObjectDriver;
  /** The settings of every queue that has no definition, and the definitions. */
  readonly options: ConfigureOption & { readonly queues?: readonly QueueDefinition[] | undefined };
  /** The number of the object among the objects of a split queue. */
  readonly shard: number;
  /** Returns the `Queue` of a name. */
  readonly queue: (name: string) => Queue;
}

/**
 * The settings and recurrences that the options of an object's class declare. Each queue gets them once per start of
 * the object.
 */
export class DeclaredSettings {
  readonly #options: DeclaredSettingsOptions;
  readonly #shared: QueueConfig;
  readonly #defined: ReadonlyMap<string, { readonly definition: QueueDefinition; readonly config: QueueConfig }>;
  readonly #stored = new Set<string>();

  /** @throws {QuaysideError} `invalid_option` for an invalid setting. */
  constructor(options: DeclaredSettingsOptions) {
    const { keep, rateLimit, maxActive, maxWaiting, queues = [] } = options.options;
    this.#options = options;
    this.#shared = resolveSettings({ keep, rateLimit, maxActive, maxWaiting });
    this.#defined = new Map(
      queues.map((definition) => [definition.name, { definition, config: resolveSettings(settingsOf(definition)) }]),
    );
  }

  /** Stores what is declared of these queues. Writes nothing for a queue that has it already. */
  async store(queues: Iterable<string>): Promise<void> {
    for (const name of queues) {
      if (this.#stored.has(name)) continue;
      const defined = this.#defined.get(name);
      await this.#configure(name, defined?.config ?? this.#shared);
      if (defined?.definition.schedules) await this.#schedule(defined.definition);
      this.#stored.add(name);
    }
  }

  async #configure(queue: string, config: QueueConfig): Promise<void> {
    if (Object.keys(config).length === 0) return;
    const { driver } = this.#options;
    const stored = await driver.settings(queue);
    if (textOf(changedSettings(stored, config)) !== textOf(stored))
      await driver.command({ type: "configure", queue, ...config });
  }

  /** Stores the recurrences of a queue: of a split queue, those whose keys belong to this object. */
  #schedule(definition: QueueDefinition): Promise<void> {
    const { shard, queue } = this.#options;
    const { shards = 1, name } = definition;
    const { count } = new Layout(shards);
    return declareSchedules(queue(name), definition, (key) => shardOfKey(key, count) === shard);
  }
}

const textOf = (settings: StoredSettings): string => canonicalText(JSON.stringify(settings));
