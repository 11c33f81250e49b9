// The words that comments and docs do without, and why. scripts/lint-words.mjs looks for them.

/** @typedef {{ pattern: RegExp, instead: string }} BannedWord */

/** Code has no mind: these verbs make the reader guess which call or record is meant. */
const PERSON = "say which call returns it, which record holds it or which code reads it";
/** A clause with one of these has no subject that a reader could look up. */
const SUBJECT = "name the caller, worker, tab or function";

/** @type {readonly BannedWord[]} */
export const BANNED = [
  { pattern: /\bknows\b|\bknew\b/gi, instead: PERSON },
  { pattern: /\bhears?\b|\bheard\b/gi, instead: PERSON },
  { pattern: /\b(?:is|are|was|were|be|been|being) told\b/gi, instead: PERSON },
  { pattern: /\bwants\b|\bwanted\b/gi, instead: PERSON },
  { pattern: /\bforgets?\b|\bforgot(?:ten)?\b/gi, instead: PERSON },
  { pattern: /\bstands\b/gi, instead: PERSON },
  { pattern: /\blies\b/gi, instead: PERSON },
  { pattern: /\bwhoever\b/gi, instead: SUBJECT },
  { pattern: /\bnobody\b/gi, instead: SUBJECT },
  { pattern: /\bsomebody\b/gi, instead: SUBJECT },
  { pattern: /\banew\b/gi, instead: '"again", or the name of the new thing' },
  { pattern: /\bthereby\b/gi, instead: "a sentence of its own" },
  { pattern: /\bcosts? dear\b|\bdearer\b|\bdearly\b/gi, instead: '"costly", or the number' },
  {
    pattern:
      /\b(?:rows|records|reads|writes|requests|operations|bytes|transactions|exchanges|jobs|times) an? (?:job|exchange|call|second|minute|hour|day|month)\b/gi,
    instead: '"per" before a unit',
  },
];

/** A docblock starts with a verb in the third person, or with a noun phrase that defines the thing. */
export const OPENING = { pattern: /^What\b/, instead: "a verb in the third person, or a noun that defines the thing" };

/** Longest line of Markdown, in characters. */
export const LINE = 160;

/**
 * Texts in which a banned word is right. Each is taken out of a line before the line is searched.
 *
 * @type {readonly { text: RegExp, because: string }[]}
 */
export const EXCEPTIONS = [{ text: /\bstands for\b/gi, because: "the meaning of a symbol or an abbreviation" }];

/**
 * Pages in which no words are searched.
 *
 * @type {readonly { path: RegExp, because: string }[]}
 */
export const RECORDS = [
  { path: /^docs\/map-test\//, because: "the answers of readers, as they gave them" },
  { path: /^docs\/reference\//, because: "made from docblocks, which are searched where they are written" },
];
