import type { JobRequest } from "../job/handler.ts";
import type { JobDraft } from "../job/prepare-job.ts";
import type { QueueSettings } from "./manager-options.ts";
import type { ManagerRegistry } from "./manager-registry.ts";

/** Where a job is stored: its queue and connection. */
export interface Place {
  readonly queue: string;
  readonly connection: string;
}

export type PlacedJob = JobDraft & Place;

export interface PlacementOptions {
  readonly registry: () => ManagerRegistry;
  readonly queues: { readonly [name: string]: QueueSettings } | undefined;
  readonly defaultQueue: () => string;
  readonly defaultConnection: () => string;
}

/**
 * Decides the queue and connection of jobs, and which queues are worked, from a manager's settings and registered jobs.
 */
export class Placement {
  readonly #options: PlacementOptions;

  constructor(options: PlacementOptions) {
    this.#options = options;
  }

  settings(queue: string): QueueSettings {
    const { queues } = this.#options;
    return (queues && Object.hasOwn(queues, queue) && queues[queue]) || {};
  }

  /**
   * Chooses a job's queue and connection: by the job's options, else its definition, else its queue's settings, else
   * the job that adds it (`from`), else the defaults.
   */
  place(request: JobRequest & { readonly connection?: string | undefined }, from?: Place): PlacedJob {
    const { name, payload, queue: asked, connection, ...options } = request;
    const { defaultQueue, defaultConnection } = this.#options;
    const registry = this.#options.registry();
    registry.check(name);
    const usual = registry.definition(name, asked);
    const queue = asked ?? usual?.queue ?? from?.queue ?? defaultQueue();
    const via =
      connection ?? usual?.connection ?? this.settings(queue).connection ?? from?.connection ?? defaultConnection();
    return { connection: via, queue, name, payload, options };
  }

  /** Returns the queues to work: those that the settings or registered jobs name. */
  worked(): readonly Place[] {
    const { queues, registry, defaultQueue, defaultConnection } = this.#options;
    const configured = Object.keys(queues ?? {}).map((queue) => ({ queue, connection: undefined }));
    return [...configured, ...registry().places()].map(({ queue = defaultQueue(), connection }) => ({
      queue,
      connection: connection ?? this.settings(queue).connection ?? defaultConnection(),
    }));
  }
}
