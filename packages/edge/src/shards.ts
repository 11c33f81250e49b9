// For code outside Workers that computes which object holds a job.
export { shardOfKey } from "./shards/route.ts";
