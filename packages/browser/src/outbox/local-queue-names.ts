import { fingerprint } from "./fingerprint.ts";

/** Longest part of a local name, in characters: the whole name stays within the 256 of core. */
const PART_LIMIT = 100;

/** The record of one queue in the register. */
export interface RegisterEntry {
  readonly queue: string;
  /** The sender under which the batches are numbered at the remote. */
  readonly sender: string;
  /** Label of the subject for which this batch and the ones after it are sent; absent until the remote answers one. */
  readonly subject?: string;
}

/**
 * Names of the local queues of one partition and remote. `outbox/PARTITION@REMOTE`, the register, has one job per queue,
 * with its `RegisterEntry`. `outbox/PARTITION@REMOTE/QUEUE` has the jobs that are sent to QUEUE, and `…/cancels` the
 * requests to cancel or remove jobs in flight. No worker of the app claims from queues of such names.
 *
 * Each remote has local queues of its own, so that two outboxes on one database never send each other's jobs.
 * `outbox/PARTITION@` lists the remotes that jobs wait for.
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

  /** The worker key under which this queue is forwarded: the same in all tabs (R9). */
  worker(queue: string): string {
    return `outbox:${fingerprint(this.jobs(queue))}`;
  }

  /** Whether a local queue is one of these. */
  has(local: string): boolean {
    return local === this.register || local.startsWith(`${this.register}/`);
  }

  /** The queue whose jobs a local queue holds, if `jobs` or `cancels` of this object has made its name. */
  target(local: string): string | undefined {
    return this.#targets.get(local);
  }
}

/** Escapes a name, so that no two names give the same part; escaping never produces a `#`. */
function part(name: string): string {
  const escaped = encodeURIComponent(name);
  return escaped.length <= PART_LIMIT ? escaped : `#${fingerprint(name)}`;
}
