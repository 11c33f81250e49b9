import { checkPathName } from "../../job/job-keys.ts";

export const path = (queue: string, rest: string): string => `/${part(queue, "queue")}/${rest}`;

/** Encodes a name as a segment of a URL's path. Refuses names that core does not allow or that a URL cannot contain. */
export const part = (name: string, option: string): string => encodeURIComponent(checkPathName(name, option));
export const idPart = (id: string): string => part(id, "id");

export function queryOf(values: Readonly<Record<string, string | number | readonly string[] | undefined>>): string {
  const present = Object.entries(values).flatMap(([name, value]): [string, string][] => {
    if (value === undefined) return [];
    return typeof value === "object" ? value.map((item) => [name, item]) : [[name, `${value}`]];
  });
  return present.length > 0 ? `?${new URLSearchParams(present)}` : "";
}
