import { QuaysideError, refused } from "../job/errors.ts";
import type { OptionParsers } from "../job/job-options.ts";
import type { StoredJob } from "../job/job-record.ts";
import type { NewJob } from "../job/new-job.ts";
import { list } from "../job/option-checks.ts";
import type { Adding, AddPart } from "./add-batch.ts";
import type { ClaimPart, QueueClaim } from "./claim.ts";
import type { End } from "./job-writer.ts";
import type { CommandHandler } from "./kernel-commands.ts";
import type { Held, Program } from "./store.ts";
import type { Transaction } from "./transaction.ts";
import type { ClaimedJob, ClaimQueue, EnqueueReceipt, NumberedRequest } from "./verbs.ts";

/**
 * One capability of the queue, in one file. Every hook is optional and runs inside the engine's transaction; the hooks
 * of several plugins run in the order in which the plugins are listed. Hooks that return a program are given many jobs at
 * once, so that the number of operations does not grow with the number of jobs.
 */
export interface Plugin {
  readonly name: string;
  /** The job options that belong to it, as a caller writes them. */
  readonly options?: OptionParsers;
  /** The fields of a new job that belong to it. A job with a field that no plugin owns is refused. */
  readonly fields?: readonly string[];
  /** The settings of a queue that belong to it. A setting that no plugin owns is refused. */
  readonly settings?: readonly string[];
  /** The kinds of cells whose records never decide when a job is due. */
  readonly quietCells?: readonly string[];

  /** Returns whether the end of this job concerns it. A job that concerns no plugin is deleted by its key alone. */
  marks?(job: StoredJob): boolean;

  // Add

  /** Throws when the fields that belong to it are not as a driver takes them. */
  check?(job: NewJob): void;
  /** Runs `work` once for a numbered request. */
  once?(
    tx: Transaction,
    jobs: readonly NewJob[],
    request: NumberedRequest,
    work: () => Program<readonly EnqueueReceipt[]>,
  ): Program<readonly EnqueueReceipt[]>;
  /** Takes part in an add. Called where `needs` is true for any of its jobs. */
  adding?(add: Adding): Program<AddPart>;
  needs?(job: NewJob): boolean;
  /** Applies what the options of these jobs say of more than the jobs themselves. */
  accepted?(tx: Transaction, jobs: readonly (Pick<NewJob, "queue"> & Partial<NewJob>)[]): Program<void>;

  // Jobs that move

  /** Jobs on their way to a place: returns where they really go. */
  placing?(tx: Transaction, jobs: readonly StoredJob[], isNew: boolean): Program<readonly StoredJob[]>;
  /** A job leaves its place: to the place of `next`, or for good. */
  leaving?(tx: Transaction, job: StoredJob, next?: StoredJob): void;
  /** Jobs have ended, from whatever cause. */
  ended?(tx: Transaction, ends: readonly End[]): Program<void>;
  /** Ended jobs were deleted. */
  deleted?(tx: Transaction, jobs: readonly StoredJob[]): Program<void>;
  /** Leases no longer list these attempts. */
  attemptsEnded?(tx: Transaction, held: readonly Held[]): Program<void>;
  /** Does what follows from its other hooks in this transaction; returns whether there was any. Called until nothing follows. */
  effects?(tx: Transaction): Program<boolean>;
  /** Writes what it kept back; the last step of a transaction. */
  flush?(tx: Transaction): Program<void>;

  // Claim

  /** Reads what claims from this queue will need, in the first trip of an exchange. */
  prepare?(tx: Transaction, queue: string): Program<void>;
  /** Brings jobs back that this worker may take. Called before each claim from a queue that is not paused. */
  beforeClaim?(tx: Transaction, claim: ClaimQueue): Program<void>;
  /** Takes part in the claim from one queue. */
  claiming?(claim: QueueClaim): Program<ClaimPart | undefined>;
  /** Returns fields of its own for the lease entry of a claimed job. */
  held?(job: StoredJob): Partial<Held> | undefined;
  /** Jobs begin to run. Returns the first instant at which something that it placed is due. */
  claimed?(tx: Transaction, jobs: readonly StoredJob[]): Program<number>;
  /** Returns fields of its own for a claimed job as its worker gets it. */
  reply?(tx: Transaction, job: StoredJob): Program<Partial<ClaimedJob> | undefined>;
  /** Returns the first instant at which a job of this queue may start, where one is due. */
  opensAt?(tx: Transaction, queue: string): Program<number>;

  // Operators

  /** Why an operator cannot retry this job. */
  refusesRetry?(tx: Transaction, job: StoredJob): Program<Error | undefined>;
  /** An operator retries a job: returns it as it goes back in line. */
  retrying?(tx: Transaction, job: StoredJob): Program<StoredJob>;
  /** The instant at which a job is due that a clock far ahead had placed; `at` is what its delay says. */
  dueAgain?(tx: Transaction, job: StoredJob, at: number): Program<number>;
  /** Its commands, by their `type`. */
  readonly commands?: Readonly<Record<string, CommandHandler>>;
  /** Its questions, by name: programs that write nothing. */
  readonly reads?: Readonly<Record<string, ReadHandler>>;
}

/** Answers a question with a program that writes nothing. */
export type ReadHandler = (tx: Transaction, query: never) => Program<unknown>;

type Hook = Exclude<keyof Plugin, "name" | "options" | "fields" | "settings" | "quietCells">;
type With<H extends Hook> = Plugin & Required<Pick<Plugin, H>>;

/** Fields of a new job that belong to no plugin. */
const JOB_FIELDS =
  "queue name payload id delayMs priority maxAttempts maxExceptions maxInterruptions backoff timeoutMs tags keep requires trace sealed";

/** Where a plugin names the options, or settings, that belong to it, and those that belong to none. */
const OWNED = {
  "job option": { part: "fields", kernel: new Set(JOB_FIELDS.split(" ")) },
  setting: { part: "settings", kernel: new Set(["keep"]) },
} as const;

/** A list of plugins, or the option `plugins` is refused. */
export function checkPlugins<P extends Pick<Plugin, "name">>(plugins: readonly P[]): readonly P[] {
  for (const [index, plugin] of list(plugins, "plugins").entries())
    if (typeof plugin !== "object" || typeof plugin?.name !== "string")
      throw refused(`plugins[${index}]`, "must be a plugin, such as dedupe() (a call)", plugin);
  return plugins;
}

/** The plugins of a driver, in order. */
export class Plugins {
  readonly all: readonly Plugin[];
  readonly #byHook = new Map<Hook, readonly Plugin[]>();
  readonly #advise: (name: string) => string | undefined;

  /** @param advise says which import has a plugin, an option, a setting, a command or a read. */
  constructor(all: readonly Plugin[], advise: (name: string) => string | undefined = () => undefined) {
    this.all = all;
    this.#advise = advise;
  }

  /**
   * @param used takes the names of the plugins that have one of these.
   * @throws {QuaysideError} `invalid_option` where one of these belongs to a plugin that is not here.
   */
  checkOwned(what: keyof typeof OWNED, fields: object, used?: Set<string>): void {
    const { part, kernel } = OWNED[what];
    for (const name in fields) {
      if (kernel.has(name)) continue;
      const owner = this.all.find((plugin) => plugin[part]?.includes(name));
      if (!owner) throw this.missing(what, name);
      used?.add(owner.name);
    }
  }

  /** Says how to add a plugin of this name. */
  advice(name: string): string {
    return this.#advise(name) ?? `Add ${name} to the driver's plugins.`;
  }

  /** The error for what belongs to a plugin that is not here. `option`: the field to blame, where `name` is its value. */
  missing(what: string, name: string, option = name): QuaysideError {
    const advice = this.#advise(name) ?? "Add the one that does to its plugins.";
    return new QuaysideError("invalid_option", `No plugin of this driver has the ${what} ${name}. ${advice}`, {
      option,
    });
  }

  /** Returns the program that answers a question. @throws {QuaysideError} `invalid_option` where no plugin has it. */
  read<T>(tx: Transaction, name: string, query: unknown): Program<T> {
    for (const { reads } of this.with("reads"))
      if (Object.hasOwn(reads, name)) return reads[name]?.(tx, query as never) as Program<T>;
    throw this.missing("read", name);
  }

  /** Returns those that have a hook. */
  with<H extends Hook>(hook: H): readonly With<H>[] {
    let found = this.#byHook.get(hook);
    if (!found) {
      found = this.all.filter((plugin) => plugin[hook]);
      this.#byHook.set(hook, found);
    }
    return found as readonly With<H>[];
  }
}
