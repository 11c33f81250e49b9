export type { Fetch, Token } from "./drivers/http/http-caller.ts";
export { HttpDriver, type HttpDriverOptions, httpDriver } from "./drivers/http/http-driver.ts";
