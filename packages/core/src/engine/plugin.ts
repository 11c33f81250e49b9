import { QuaysideError, refused } from "../job/errors.ts";
import type { OptionParsers } from "../job/job-options.ts";
import type { StoredJob } from "../job/job-record.ts";
import type { NewJob } from "../job/new-job.ts";
import { list } from "../job/option-checks.ts";
import type { Adding, AddPart } from "./add-batch.ts";
import type { ClaimPart, QueueClaim } from "./claim.ts";
import type { End } from "./job-writer.ts";
import type { CommandHandler } from "./kernel-commands.ts";
import type { Lapsing } from "./lapsing.ts";
import type { Held, Program } from "./store.ts";
import type { Transaction } from "./transaction.ts";
import type { ClaimedJob, ClaimQueue, EnqueueReceipt, NumberedRequest } from "./verbs.ts";

/**
 * One capability of the queue, such as groups, in one file. Every hook (method) is optional and runs inside the
 * engine's transaction; hooks of several plugins run in the order of the plugins. Hooks that return a program get many
 * jobs at once, so that the number of operations does not grow with the number of jobs.
 */
export interface Plugin {
  readonly name: string;
  /** Parsers of the plugin's job options. */
  readonly options?: OptionParsers;
  /** Fields of a new job that belong to the plugin. A job with a field that no plugin owns is refused. */
  readonly fields?: readonly string[];
  /** Settings of a queue that belong to the plugin. A setting that no plugin owns is refused. */
  readonly settings?: readonly string[];
  /** Names of kinds of the plugin's values whose changes do not affect when a job is due. */
  readonly quietCells?: readonly string[];
  /**
   * Records of the plugin that lapse. The plugin calls `tx.lapses` when it stores one, so that a search deletes it after
   * its time.
   */
  readonly lapsing?: Lapsing;

  /**
   * Fields of a stored job that concern the plugin. A job without such a field of any plugin can be deleted by its key
   * alone. `placing`, `ended`, `deleted` and `reply` are called if a job has one of them, or if the list is absent.
   */
  readonly marks?: readonly string[];

  // Add

  // `check`, `adding` and `accepted` are called only if a job has one of `fields`, or always if the list is absent.

  /** Throws if the plugin's own fields of a new job are invalid. */
  check?(job: NewJob): void;
  /** Runs `work` for a numbered request, or returns the receipts of its earlier run. Only one plugin has this hook. */
  once?(
    tx: Transaction,
    jobs: readonly NewJob[],
    request: NumberedRequest,
    work: () => Program<readonly EnqueueReceipt[]>,
  ): Program<readonly EnqueueReceipt[]>;
  /** Takes part in an add. */
  adding?(add: Adding): Program<AddPart>;
  /** Called with the records of an add's new jobs, before any write. Throws to refuse the add. */
  admitting?(tx: Transaction, jobs: readonly StoredJob[]): Program<void>;
  /** Applies the plugin's job options that affect more than their own job, such as the limit of a group. */
  accepted?(tx: Transaction, jobs: readonly (Pick<NewJob, "queue"> & Partial<NewJob>)[]): Program<void>;

  // Jobs that move

  /** Called with jobs that are stored or moved. Returns the jobs with their final keys. */
  placing?(tx: Transaction, jobs: readonly StoredJob[], isNew: boolean): Program<readonly StoredJob[]>;
  /**
   * Called when a job leaves its place in the queue. `next`: its record in the new place; undefined: the job is
   * deleted.
   */
  leaving?(tx: Transaction, job: StoredJob, next?: StoredJob): void;
  /** Called when jobs have ended for any cause. */
  ended?(tx: Transaction, ends: readonly End[]): Program<void>;
  /** Called when ended jobs were deleted. */
  deleted?(tx: Transaction, jobs: readonly StoredJob[]): Program<void>;
  /** Called when leases no longer list these attempts, because they ended or were recovered. */
  attemptsEnded?(tx: Transaction, held: readonly Held[]): Program<void>;
  /**
   * Applies changes that follow from the plugin's other hooks in this transaction. Returns whether it changed anything.
   * Called repeatedly until no plugin has changed anything.
   */
  effects?(tx: Transaction): Program<boolean>;

  // Claim

  /**
   * Reads the plugin's records of this queue, together with the first reads of an exchange. Each exchange calls it for
   * one of its queues, in turn.
   */
  prepare?(tx: Transaction, queue: string): Program<void>;
  /**
   * Unblocks jobs that this worker may claim, for example by their name. Called before each claim from a queue that is
   * not paused.
   */
  beforeClaim?(tx: Transaction, claim: ClaimQueue): Program<void>;
  /** Takes part in the claim from one queue. Returns the plugin's limits and filters for the claim; undefined: none. */
  claiming?(claim: QueueClaim): Program<ClaimPart | undefined>;
  /** Returns the fields that the plugin adds to the lease entry of a claimed job. */
  held?(job: StoredJob): Partial<Held> | undefined;
  /** Called when jobs start. May store records, and returns the earliest time at which one of them is due. */
  claimed?(tx: Transaction, jobs: readonly StoredJob[]): Program<number>;
  /** Returns the fields that the plugin adds to a claimed job in the reply to its worker. */
  reply?(tx: Transaction, job: StoredJob): Program<Partial<ClaimedJob> | undefined>;
  /** Returns the earliest time at which the plugin lets a due job of this queue start; infinite: unknown. */
  opensAt?(tx: Transaction, queue: string): Program<number>;

  // Operators

  /** Returns the reason why an operator cannot retry this job, if there is one. */
  refusesRetry?(tx: Transaction, job: StoredJob): Program<Error | undefined>;
  /** Called when an operator retries a job. Returns the record to store. */
  retrying?(tx: Transaction, job: StoredJob): Program<StoredJob>;
  /** Returns when a job is due that was placed by a clock far ahead. `at`: now and the job's delay. */
  dueAgain?(tx: Transaction, job: StoredJob, at: number): Program<number>;
  /** The plugin's commands by `type`. */
  readonly commands?: Readonly<Record<string, CommandHandler>>;
  /** The plugin's read-only queries by name. */
  readonly reads?: Readonly<Record<string, ReadHandler>>;
}

/** Runs a read-only query. */
export type ReadHandler = (tx: Transaction, query: never) => Program<unknown>;

type Hook = Exclude<keyof Plugin, "name" | "options" | "fields" | "settings" | "quietCells">;
type With<H extends Hook> = Plugin & Required<Pick<Plugin, H>>;

/** Fields of a new job that belong to no plugin. */
const JOB_FIELDS: ReadonlySet<string> = new Set([
  "queue",
  "name",
  "payload",
  "id",
  "delayMs",
  "priority",
  "maxAttempts",
  "maxExceptions",
  "maxInterruptions",
  "backoff",
  "timeoutMs",
  "tags",
  "keep",
  "requires",
  "trace",
  "sealed",
]);

/** For job options and for settings: the plugin field that lists the names, and the kernel's own names. */
const OWNED = {
  "job option": { part: "fields", kernel: JOB_FIELDS },
  setting: { part: "settings", kernel: new Set(["keep"]) },
} as const;

/** Checks that a list has only plugins, and returns it. Throws `invalid_option` for the option `plugins`. */
export function checkPlugins<P extends Pick<Plugin, "name">>(plugins: readonly P[]): readonly P[] {
  for (const [index, plugin] of list(plugins, "plugins").entries())
    if (typeof plugin !== "object" || typeof plugin?.name !== "string")
      throw refused(`plugins[${index}]`, "must be a plugin, such as dedupe() (a call)", plugin);
  return plugins;
}

/** The plugins of a driver, in the order of their hooks. */
export class Plugins {
  readonly all: readonly Plugin[];
  readonly #byHook = new Map<Hook, readonly Plugin[]>();
  readonly #advise: (name: string) => string | undefined;

  /**
   * Creates the list of plugins.
   *
   * @param advise returns the import that provides a plugin, option, setting, command or read.
   */
  constructor(all: readonly Plugin[], advise: (name: string) => string | undefined = () => undefined) {
    this.all = all;
    this.#advise = advise;
  }

  /**
   * Checks that the fields of a job or of settings belong to these plugins.
   *
   * @param used receives the names of the plugins that own one of the fields.
   * @throws {QuaysideError} `invalid_option` if a field belongs to a missing plugin.
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

  /** Returns the advice on how to add a plugin, given by its name. */
  advice(name: string): string {
    return this.#advise(name) ?? `Add ${name} to the driver's plugins.`;
  }

  /**
   * Creates the error for something that no plugin has, such as a setting. `option`: the name of the field in the
   * error, if `name` is the field's value.
   */
  missing(what: string, name: string, option = name): QuaysideError {
    const advice = this.#advise(name) ?? "Add the one that does to its plugins.";
    return new QuaysideError("invalid_option", `No plugin of this driver has the ${what} ${name}. ${advice}`, {
      option,
    });
  }

  /**
   * Returns the program of the read-only query with this name.
   *
   * @throws {QuaysideError} `invalid_option` if no plugin has it.
   */
  read<T>(tx: Transaction, name: string, query: unknown): Program<T> {
    for (const { reads } of this.with("reads"))
      if (Object.hasOwn(reads, name)) return reads[name]?.(tx, query as never) as Program<T>;
    throw this.missing("read", name);
  }

  /** Returns the plugins that have this hook, in order. */
  with<H extends Hook>(hook: H): readonly With<H>[] {
    let found = this.#byHook.get(hook);
    if (!found) {
      found = this.all.filter((plugin) => plugin[hook]);
      this.#byHook.set(hook, found);
    }
    return found as readonly With<H>[];
  }

  /**
   * Returns the plugins that have a hook and that these jobs concern: one of the jobs has a field that the plugin lists
   * in `part`, or the plugin has no such list.
   */
  for<H extends Hook>(hook: H, part: "fields" | "marks", jobs: readonly object[]): readonly With<H>[] {
    return this.with(hook).filter(
      ({ [part]: names }) => !names || jobs.some((job) => names.some((name) => name in job)),
    );
  }
}
