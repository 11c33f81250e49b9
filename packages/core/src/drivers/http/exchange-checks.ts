// Checks of the answers that only a worker asks for. They are loaded with its first exchange.
import { isJob, isList, isObject } from "./response-checks.ts";

const isText = (value: unknown): boolean => typeof value === "string";

export const isChildren = (value: unknown): boolean => isObject(value) && isList(value["children"], isObject);

export const isExchangeReply =
  (queue: string) =>
  (value: unknown): boolean =>
    isObject(value) &&
    isList(
      value["jobs"],
      (each) =>
        isObject(each) &&
        isText(each["token"]) &&
        isJob(each["job"]) &&
        (each["job"] as { readonly queue?: unknown }).queue === queue,
    ) &&
    isList(value["lost"], isText) &&
    isList(value["cancel"], isText) &&
    isList(value["interrupted"], isJob) &&
    isList(value["unknown"], isObject) &&
    isList(value["late"] ?? [], isObject);
