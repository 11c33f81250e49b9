import { QuaysideError } from "@quayside/core";

/**
 * The receivers to which a webhook may be sent: hosts as in a URL (`"books.example"`, `"books.example:8443"`,
 * `"*.books.example"`, `"127.0.0.1"`), or a function that returns true for an allowed URL.
 */
export type AllowedUrls = readonly string[] | ((url: URL) => boolean);

/**
 * Creates a function that checks a receiver's URL. A URL must use HTTPS, have no credentials, and have an allowed host.
 * Without `allow`, every host except this machine is allowed. This machine must be named in `allow`, and may then use
 * HTTP. Non-public IP addresses are always refused. Host names are not resolved.
 *
 * @throws {QuaysideError} `invalid_option` if `allow` is invalid. The returned function throws it for a refused URL.
 */
export function receiverUrl(allow: AllowedUrls | undefined): (text: unknown) => URL {
  const isAllowed = allow === undefined ? undefined : typeof allow === "function" ? answering(allow) : among(allow);
  return (text) => {
    // Only accepts a text: an object's `toString()` could return another URL at the next call.
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

/**
 * Returns the function `allow` with a check of its result.
 *
 * @throws {QuaysideError} if `allow` does not return a boolean. A promise would count as true and allow every URL.
 */
function answering(allow: (url: URL) => boolean): (url: URL) => boolean {
  return (url) => {
    // Passes a copy, so that `allow` cannot change the URL to which the job is sent.
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

/** Returns the host (with its port, if any) of an entry, or undefined if the entry is not a host. */
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

/**
 * Returns whether a host name is this machine, a private address, or public. The URL parser has already converted
 * decimal, octal, hexadecimal and short IPv4 addresses to dotted form.
 */
function reachOf(hostname: string): Reach {
  if (hostname.startsWith("[")) return reachOfIpv6(ipv6Groups(hostname.slice(1, -1)));
  if (/^[\d.]+$/.test(hostname)) return reachOfIpv4(hostname.split(".").map(Number));
  const name = hostname.replace(/\.+$/, "");
  return name === "localhost" || name.endsWith(".localhost") ? "loopback" : "public";
}

/**
 * Classifies an IPv4 address by its first octets.
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
 * Classifies an IPv6 address. Public addresses are global unicast (2000::/3), except documentation addresses and those
 * that contain an IPv4 address (6to4, Teredo).
 *
 * @see https://www.iana.org/assignments/iana-ipv6-special-registry
 */
function reachOfIpv6(groups: readonly number[]): Reach {
  const [a = 0, b = 0] = groups;
  if (groups.slice(0, 7).every((group) => group === 0) && groups[7] === 1) return "loopback";
  // ::ffff:127.0.0.1 is this machine, too.
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff && (groups[6] ?? 0) >> 8 === 127)
    return "loopback";
  const isSpecial = (a === 0x2001 && (b < 0x200 || b === 0xdb8)) || a === 0x2002 || (a === 0x3fff && b < 0x1000);
  return a >> 13 === 1 && !isSpecial ? "public" : "private";
}

/** Returns the eight groups of an IPv6 address as written by the URL parser, which uses no dotted form. */
function ipv6Groups(text: string): readonly number[] {
  const [head = "", tail] = text.split("::");
  const read = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
  const [before, after] = [read(head), read(tail ?? "")];
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
}

/** Describes a value for an error message. Not as JSON, which fails for BigInts and circular objects. */
const shown = (value: unknown): string => (typeof value === "string" ? JSON.stringify(value) : `a ${typeof value}`);

const refused = (option: string, why: string) => new QuaysideError("invalid_option", `${option} ${why}.`, { option });
