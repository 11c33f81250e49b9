import { QuaysideError } from "@quayside/core";

/**
 * Which receivers a webhook may be sent to: hosts as a URL has them (`"books.example"`, `"books.example:8443"`,
 * `"*.books.example"`, `"127.0.0.1"`), or a function that answers true for a URL that is allowed.
 */
export type AllowedUrls = readonly string[] | ((url: URL) => boolean);

/**
 * The check of a receiver's URL: https, without credentials, at a host that `allow` takes. Without `allow` each host is
 * taken but this machine. Literal addresses that are not public are refused whatever `allow` says, but for this machine,
 * which it may name; to it http will do. Host names are not resolved.
 *
 * @throws {QuaysideError} `invalid_option` at an `allow` that is none; the check throws it for a URL that is refused.
 */
export function receiverUrl(allow: AllowedUrls | undefined): (text: unknown) => URL {
  const isAllowed = allow === undefined ? undefined : typeof allow === "function" ? answering(allow) : among(allow);
  return (text) => {
    // Only a text: what else has a toString() could say something else when it is read again.
    const url = parsed(text);
    if (!url) throw refused("url", `must be a URL, got ${shown(text)}`);
    if (url.username !== "" || url.password !== "") throw refused("url", "must carry no credentials: set headers");
    const reach = reachOf(url.hostname);
    if (url.protocol !== "https:" && !(url.protocol === "http:" && reach === "loopback"))
      throw refused("url", `must be https (http to this machine alone), got ${url.protocol}//${url.host}`);
    if (reach === "private") throw refused("url", `must not be at an address that is not public: ${url.host}`);
    if (isAllowed ? !isAllowed(url) : reach === "loopback")
      throw refused("url", `is at ${url.host}, which allow does not name`);
    return url;
  };
}

/** @throws {QuaysideError} for any answer but true and false: a promise, above all, would allow everything. */
function answering(allow: (url: URL) => boolean): (url: URL) => boolean {
  return (url) => {
    // A copy: what it does to the URL must not change where the job goes.
    const answer: unknown = allow(new URL(url));
    if (typeof answer !== "boolean")
      throw refused("allow", `must answer true or false at once, got a ${typeof answer}`);
    return answer;
  };
}

function among(allow: readonly string[]): (url: URL) => boolean {
  if (!Array.isArray(allow) || allow.length === 0)
    throw refused("allow", "must be a list of one or more hosts, or a function");
  const hosts = new Set<string>();
  const parents: string[] = [];
  for (const entry of allow) {
    const wild = typeof entry === "string" && entry.startsWith("*.");
    const host = hostOf(wild ? entry.slice(2) : entry);
    if (host === undefined || (wild && reachOf(host) !== "public"))
      throw refused("allow", `must name hosts such as "books.example" or "*.books.example", got ${shown(entry)}`);
    if (wild) parents.push(`.${host}`);
    else hosts.add(host);
  }
  return ({ hostname, host }) =>
    hosts.has(host) || hosts.has(hostname) || parents.some((parent) => hostname.endsWith(parent));
}

/** A host, with its port if any, as a URL says it; undefined for anything more, or else. */
function hostOf(entry: unknown): string | undefined {
  return typeof entry === "string" && !/[/\\?#@*]/.test(entry) ? parsed(`https://${entry}/`)?.host : undefined;
}

function parsed(text: unknown): URL | undefined {
  try {
    return typeof text === "string" ? new URL(text) : undefined;
  } catch {
    return undefined;
  }
}

type Reach = "loopback" | "private" | "public";

/** Of a host name as the URL parser leaves it: decimal, octal, hexadecimal and short addresses are dotted by then. */
function reachOf(hostname: string): Reach {
  if (hostname.startsWith("[")) return reachOfIpv6(ipv6Groups(hostname.slice(1, -1)));
  if (/^[\d.]+$/.test(hostname)) return reachOfIpv4(hostname.split(".").map(Number));
  const name = hostname.replace(/\.+$/, "");
  return name === "localhost" || name.endsWith(".localhost") ? "loopback" : "public";
}

/**
 * First octets of addresses that are not public.
 *
 * @see https://www.iana.org/assignments/iana-ipv4-special-registry
 */
function reachOfIpv4([a = 0, b = 0, c = 0]: readonly number[]): Reach {
  if (a === 127) return "loopback";
  const isPrivate =
    a === 0 ||
    a === 10 ||
    (a === 100 && b >= 64 && b < 128) ||
    (a === 169 && b === 254) ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 0 && (c === 0 || c === 2)) ||
    (a === 192 && b === 88 && c === 99) ||
    (a === 192 && b === 168) ||
    (a === 198 && (b === 18 || b === 19)) ||
    (a === 198 && b === 51 && c === 100) ||
    (a === 203 && b === 0 && c === 113) ||
    a >= 224;
  return isPrivate ? "private" : "public";
}

/**
 * Public are global unicast addresses (2000::/3) only, without those that carry an IPv4 address (6to4, Teredo) and those
 * for documentation.
 *
 * @see https://www.iana.org/assignments/iana-ipv6-special-registry
 */
function reachOfIpv6(groups: readonly number[]): Reach {
  const [a = 0, b = 0] = groups;
  if (groups.slice(0, 7).every((group) => group === 0) && groups[7] === 1) return "loopback";
  // ::ffff:127.0.0.1 is this machine as well.
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff && (groups[6] ?? 0) >> 8 === 127)
    return "loopback";
  const isSpecial = (a === 0x2001 && (b < 0x200 || b === 0xdb8)) || a === 0x2002 || (a === 0x3fff && b < 0x1000);
  return a >> 13 === 1 && !isSpecial ? "public" : "private";
}

/** The eight groups of an address as the URL parser writes it, which never ends in a dotted one. */
function ipv6Groups(text: string): readonly number[] {
  const [head = "", tail] = text.split("::");
  const read = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
  const [before, after] = [read(head), read(tail ?? "")];
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
}

/** Whatever it is: a BigInt, or what holds itself, has no JSON. */
const shown = (value: unknown): string => (typeof value === "string" ? JSON.stringify(value) : `a ${typeof value}`);

const refused = (option: string, why: string) => new QuaysideError("invalid_option", `${option} ${why}.`, { option });
