import { fingerprint } from "./fingerprint.ts";

/** So that the longest local name stays within core's 256 characters. */
const PART_LIMIT = 100;

/**
 * The local queues of one partition of an outbox: `outbox/PARTITION/QUEUE` holds the jobs on their way to QUEUE,
 * `…/cancels` what is still to be said to the remote about jobs that were in flight, and `outbox/PARTITION`, the
 * register, one job a queue with what its line has to remember. No worker of the app asks for queues of such names.
 *
 * Each remote has lanes of its own, under `outbox/PARTITION@REMOTE`, so that two outboxes over one database never send
 * each other's jobs. `outbox/PARTITION@` lists the remotes that there are jobs for.
 */
export class OutboxNames {
  readonly register: string;
  /** Where the remotes of this partition are listed. */
  readonly remotes: string;
  readonly #targets = new Map<string, string>();

  /** @param remote Undefined: the lanes of earlier versions, which all remotes shared. */
  constructor(partition: string, remote: string | undefined) {
    const shared = `outbox/${part(partition)}`;
    this.remotes = `${shared}@`;
    this.register = remote === undefined ? shared : `${shared}@${remote === "" ? "unnamed" : fingerprint(remote)}`;
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

  /** The worker key under which whoever has the turn forwards to this queue: the same in all tabs (R9). */
  worker(queue: string): string {
    return `outbox:${fingerprint(this.jobs(queue))}`;
  }

  /** Whether a local queue is one of these. */
  has(local: string): boolean {
    return local === this.register || local.startsWith(`${this.register}/`);
  }

  /** The queue that a local one stands for, if this object was ever asked about it. */
  target(local: string): string | undefined {
    return this.#targets.get(local);
  }
}

/** Escaped, so that no two names make the same; `#` does not come out of the escaping. */
function part(name: string): string {
  const escaped = encodeURIComponent(name);
  return escaped.length <= PART_LIMIT ? escaped : `#${fingerprint(name)}`;
}
