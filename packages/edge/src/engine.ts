// For authors of Durable Object classes that keep jobs in a store of their own. Experimental: any release may change
// it.

export { ShardedDriver } from "./shards/sharded-driver.ts";
export { MIGRATIONS, type Migration, migrate } from "./sql/sql-migrations.ts";
export { SqlStore } from "./sql/sql-store.ts";
