/** One who is measured: a way to make a queue that is kept in IndexedDB. */
export interface Contestant {
  /** An empty queue in a database of its own, opened: what follows is not spent on opening. */
  open(name: string): Promise<OpenQueue>;
}

export interface OpenQueue {
  /** Stores one job; resolves when that is as durable as the contestant ever says it is. */
  add(): Promise<unknown>;
  /** Stores so many in one call. Absent: there is no such call. */
  addBulk?(count: number): Promise<unknown>;
  /** Stores so many, each by a call of its own, none awaited before the next. Absent: `add` so many times. */
  addAtOnce?(count: number): Promise<unknown>;
  /** Stores so many that are not due for the next hour. */
  addLater?(count: number): Promise<unknown>;
  /** Works so many of the waiting jobs, so many at a time; resolves when the last of them is gone from the database. */
  work?(count: number, concurrency: number): Promise<void>;
  /** Has a worker that waits for jobs, with nothing to do. */
  wait?(): Promise<IdleWorker>;
  close(): Promise<unknown>;
}

export interface IdleWorker {
  /** Adds a job and resolves, once nothing is left to do again, with the ms from the call to the start of the handler. */
  pickUp(): Promise<number>;
  stop(): Promise<unknown>;
}

/** What every job carries. */
export const PAYLOAD = { to: "ada@example.com", subject: "Welcome", body: "Glad to have you here.", attempt: 0 };

export type Payload = typeof PAYLOAD;

/** What every handler does. */
export async function noOp(_payload: unknown): Promise<void> {}
