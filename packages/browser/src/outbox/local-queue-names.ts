import { fingerprint } from "./fingerprint.ts";

/**
 * Maximum number of characters of a part of a local queue name, so that the whole name is within core's limit of 256.
 */
const PART_LIMIT = 100;

/** The entry of one queue in the register: the list of queues that have jobs to forward. */
export interface RegisterEntry {
  readonly queue: string;
  /** The sender under which batches are numbered at the remote. */
  readonly sender: string;
  /** Label of the subject (the user of a token) for which the batches are sent. Absent until the remote returns one. */
  readonly subject?: string | undefined;
}

/**
 * Names of the local queues of one partition and remote. `outbox/PARTITION@REMOTE` is the register, with one job
 * (`RegisterEntry`) per queue. `outbox/PARTITION@REMOTE/QUEUE` has the jobs to send to QUEUE, and `…/cancels` the
 * requests to cancel or remove jobs that are being sent. Workers of the app do not claim from these queues.
 *
 * Each remote has local queues of its own, so that outboxes on one database do not send each other's jobs.
 * `outbox/PARTITION@` lists the remotes for which jobs wait.
 */
export class OutboxNames {
  readonly register: string;
  /** The queue that lists the remotes of this partition. */
  readonly remotes: string;
  readonly #targets = new Map<string, string>();

  constructor(partition: string, remote: string) {
    this.remotes = `outbox/${part(partition)}@`;
    this.register = `${this.remotes}${remote === "" ? "unnamed" : fingerprint(remote)}`;
  }

  jobs(queue: string): string {
    const local = `${this.register}/${part(queue)}`;
    this.#targets.set(local, queue);
    return local;
  }

  cancels(queue: string): string {
    const local = `${this.jobs(queue)}/cancels`;
    this.#targets.set(local, queue);
    return local;
  }

  /** Returns the worker key under which this queue is forwarded, the same in all tabs (R9). */
  worker(queue: string): string {
    return `outbox:${fingerprint(this.jobs(queue))}`;
  }

  /** Returns whether a local queue belongs to this partition and remote. */
  has(local: string): boolean {
    return local === this.register || local.startsWith(`${this.register}/`);
  }

  /**
   * Returns the queue to which the jobs of a local queue are sent. Undefined if this object has not created the local
   * name.
   */
  target(local: string): string | undefined {
    return this.#targets.get(local);
  }
}

/** Escapes a name. Different names give different parts; only hashed names contain a `#`. */
function part(name: string): string {
  const escaped = encodeURIComponent(name);
  return escaped.length <= PART_LIMIT ? escaped : `#${fingerprint(name)}`;
}
