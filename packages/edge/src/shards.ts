// For code outside of Workers that has to find the object of a job.
export { shardOfKey } from "./shards/route.ts";
