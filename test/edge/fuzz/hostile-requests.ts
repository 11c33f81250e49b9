import fc from "fast-check";
import { type Document, type FuzzRequest, requestsOf } from "./requests.ts";

/** Facts about one caller that its attackers know. */
export interface Target {
  readonly ids: readonly string[];
  readonly keys: readonly string[];
  /** The key of its worker. */
  readonly worker: string;
  /** Positions that its lists answered. */
  readonly cursors: readonly string[];
  /** Senders under which its requests are remembered, or will be. */
  readonly senders: readonly string[];
  /** Digests of bodies that it sends. */
  readonly digests: readonly string[];
}

/** A token, and queues that it is tried on. */
export interface Attacker {
  readonly token: string;
  readonly queues: readonly string[];
}

/** A position in a list, made by hand: each part may be any other's, or none that there is. */
const parts: fc.Arbitrary<readonly unknown[]> = fc
  .tuple(
    fc.nat(8),
    fc.constantFrom<unknown>(-1, 0, 1, 2, 3, 4, 5, 7, 1e9, 0.5, null, "0"),
    fc.constantFrom<unknown>("", "ready", "blocked", "finished", "\uffff", 0),
    fc.constantFrom(
      "",
      "mail",
      "other",
      "deep",
      "mail/failed",
      "mail/completed",
      "other/failed",
      "mail/name/x",
      "\uffff",
    ),
    fc.constantFrom<unknown>(-101, -100, 0, 100, 1e300, null),
    fc.constantFrom<unknown>(0, -1, 2 ** 53 - 1, 2 ** 53, Date.UTC(2026, 0)),
    fc.constantFrom<unknown>(0, -1, 2 ** 53 - 1, ""),
    fc.constantFrom("", "\uffff", "0000000z"),
  )
  .map(([length, ...position]) => (length < 4 ? position.slice(0, length) : position));

/** Before everything, in one of the stretches that a list goes through. */
const bare = fc.constantFrom(-2, -1, -1, 0, 1, 2, 3, 4, 5, 6, 9).map((stretch) => [stretch, "", "", 0, 0, 0, ""]);

export const forgedCursors: fc.Arbitrary<string> = fc
  .tuple(fc.oneof({ weight: 2, arbitrary: parts }, { weight: 1, arbitrary: bare }), fc.boolean())
  .map(([position, escaped]) => {
    const text = JSON.stringify(position);
    return escaped ? encodeURIComponent(text) : text;
  });

/** As many tokens as a body of 1 MiB holds. */
const CROWD = JSON.stringify(Array.from({ length: 250_000 }, () => "1"));

/** Requests as `requestsOf` makes them, each by one of the attackers, on its own queues and those of the target. */
export function attacksOn(
  document: Document,
  target: Target,
  attackers: readonly Attacker[],
): fc.Arbitrary<FuzzRequest> {
  const known = { ids: target.ids, keys: target.keys, all: "", mail: "", lesser: [""] };
  const attacker = fc.oneof(
    ...attackers.map(({ token, queues }) =>
      fc.record({ token: fc.constant(token), queue: fc.constantFrom(...queues) }),
    ),
  );
  const cursors = fc.oneof(forgedCursors, fc.constantFrom("", ...target.cursors));
  const senders = fc.record({
    sender: fc.oneof(fc.constantFrom(...target.senders), fc.string({ minLength: 1, maxLength: 9 })),
    number: fc.constantFrom("1", "2", "7", "9007199254740991"),
    digest: fc.constantFrom("d", ...target.digests),
  });
  const attacks = fc
    .record({
      request: requestsOf(document, known),
      attacker,
      cursor: fc.option(cursors, { freq: 2 }),
      // One that some jobs bear, and one that none does: such a list reads on until it has a page.
      tag: fc.option(fc.constantFrom("1", "none"), { freq: 1 }),
      sender: fc.option(senders, { freq: 2 }),
      speaksFor: fc.boolean(),
      crowded: fc.nat(9).map((one) => one === 0),
    })
    .map(({ request, attacker: { token, queue }, cursor, tag, sender, speaksFor, crowded }) => {
      let { path, headers, body } = request;
      path = path.replace(/^\/mail(?=\/)/, () => `/${encodeURIComponent(queue)}`);
      const more = (name: string, value: string | null) => {
        if (value === null || request.operation !== "listJobs") return;
        path += `${path.includes("?") ? "&" : "?"}${name}=${encodeURIComponent(value)}`;
      };
      more("cursor", cursor);
      more("tags", tag);
      if (sender !== null && request.operation === "addJobs")
        headers = { ...headers, "quayside-request": `${new URLSearchParams(sender)}` };
      if (speaksFor && request.operation === "exchange" && typeof body === "string")
        body = body.replace(/"worker":"[^"]*"/, () => `"worker":${JSON.stringify(target.worker)}`);
      if (crowded && request.operation === "exchange" && typeof body === "string")
        body = body.replace(/"running":\[[^\]]*\]/, () => `"running":${CROWD}`);
      return { ...request, path, token, headers, body };
    });
  // Lists that are right but for where they begin: of those above, few are.
  const walks = fc
    .record({ attacker, cursor: cursors, state: fc.constantFrom("", "&state=failed", "&state=delayed", "&limit=1000") })
    .map(({ attacker: { token, queue }, cursor, state }) => ({
      operation: "listJobs",
      way: "cursor",
      method: "GET",
      path: `/${encodeURIComponent(queue)}/jobs?cursor=${encodeURIComponent(cursor)}${state}`,
      token,
      headers: {},
      body: undefined,
    }));
  return fc.oneof({ weight: 14, arbitrary: attacks }, { weight: 1, arbitrary: walks });
}
