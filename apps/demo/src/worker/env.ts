import type { EdgeQueues } from "./edge-queues.ts";
import type { Gallery } from "./gallery.ts";
import type { Inbox } from "./inbox.ts";

/** The bindings of wrangler.jsonc. */
export interface Env {
  readonly API_TOKEN: string;
  /** One object a queue, named like it. */
  readonly QUEUES: DurableObjectNamespace<EdgeQueues>;
  readonly GALLERY: DurableObjectNamespace<Gallery>;
  readonly INBOX: DurableObjectNamespace<Inbox>;
}

/** The demo has one gallery and one inbox for all who open it. */
export const galleryOf = (env: Env) => env.GALLERY.getByName("demo");
export const inboxOf = (env: Env) => env.INBOX.getByName("demo");
