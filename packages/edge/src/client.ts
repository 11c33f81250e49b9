export { HttpDriver, type HttpDriverOptions, httpDriver } from "./client/http-driver.ts";
export { shardOfKey } from "./shards/route.ts";
