import { checkPathName } from "../../job/job-keys.ts";
import * as LIMITS from "../../job/limits.ts";

export const path = (queue: string, rest: string): string => `/${part(queue, "queue")}/${rest}`;

/** A name as a part of a path; others than core allows cannot stand in a URL, or name something else there. */
export const part = (name: string, option: string): string => encodeURIComponent(checkPathName(name, option));
/** An id of any length may be asked for; one that no address can spell, or that leads elsewhere, is refused. */
export const idPart = (id: string): string =>
  id.length > LIMITS.nameLength && id.isWellFormed() ? encodeURIComponent(id) : part(id, "id");

export function queryOf(values: Readonly<Record<string, string | number | readonly string[] | undefined>>): string {
  const present = Object.entries(values).flatMap(([name, value]): [string, string][] => {
    if (value === undefined) return [];
    return typeof value === "object" ? value.map((item) => [name, item]) : [[name, `${value}`]];
  });
  return present.length > 0 ? `?${new URLSearchParams(present)}` : "";
}
