/** Storage Buckets (Chrome 122): each has an `indexedDB` and a quota of its own, so a test can fill one without the others. */
export interface Buckets {
  open(name: string, options: { quota: number }): Promise<{ readonly indexedDB: IDBFactory }>;
  delete(name: string): Promise<void>;
}

const { storageBuckets } = navigator as unknown as { storageBuckets?: Buckets };

/** Whether this engine has buckets. The others have no quota that a test could set. */
export const hasBuckets = storageBuckets !== undefined;

export const buckets = storageBuckets as Buckets;
