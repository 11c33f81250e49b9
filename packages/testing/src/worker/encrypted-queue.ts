import { aesGcm, type Driver } from "@quayside/core";
import { QUEUE, type WorkerScene } from "./support.ts";

export const encryption = aesGcm({ keys: { k1: new Uint8Array(32).fill(1) }, current: "k1" });

export const SECRET = "4111 1111";

/** Creates a queue that encrypts all jobs. */
export const encryptedQueue = ({ queue }: Pick<WorkerScene, "queue">, driver?: Driver) =>
  queue({ encryption, defaults: { encrypted: true, backoff: 0 }, ...(driver && { driver }) });

/** Returns the JSON of a job as stored, without decryption. */
export const atRest = async (driver: Driver, id: string) => JSON.stringify(await driver.get(QUEUE, id));

export const rejected = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error as { code?: string | undefined; message: string },
  );
