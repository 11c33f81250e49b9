/** What the core suites use of vitest, to run them in a bare Node process: collects tests, and `run` stops at the first that fails. */
const tests = [];

export const describe = (_name, define) => define();
export const it = (name, ...rest) => tests.push({ name, test: rest.findLast((one) => typeof one === "function") });
it.each = describe.each = (rows) => (name, test) => {
  for (const row of rows) it(`${name} ${row}`, () => test(...(Array.isArray(row) ? row : [row])));
};
export const test = it;

export async function run() {
  for (const { name, test } of tests.splice(0)) {
    try {
      await test();
    } catch (error) {
      console.log(`${name}: ${String(error?.message ?? error).slice(0, 200)}`);
      return false;
    }
  }
  return true;
}

/** As `toEqual`: members that are undefined are absent. `partial` as `toMatchObject`: more may be there. */
function alike(told, expected, partial) {
  if (Object.is(told, expected)) return true;
  if (typeof told !== "object" || typeof expected !== "object" || !told || !expected) return false;
  if (Array.isArray(expected) !== Array.isArray(told)) return false;
  if (Array.isArray(expected)) {
    return told.length === expected.length && expected.every((one, index) => alike(told[index], one, partial));
  }
  if (expected instanceof Date) return told instanceof Date && told.getTime() === expected.getTime();
  const names = new Set([...Object.keys(expected), ...(partial ? [] : Object.keys(told))]);
  return [...names].every((name) => alike(told[name], expected[name], partial));
}

const CHECKS = {
  toBe: (told, expected) => Object.is(told, expected),
  toEqual: (told, expected) => alike(told, expected, false),
  toStrictEqual: (told, expected) => alike(told, expected, false),
  toMatchObject: (told, expected) => alike(told, expected, true),
  toHaveLength: (told, length) => told?.length === length,
  toContain: (told, item) => told.includes(item),
  toBeUndefined: (told) => told === undefined,
  toBeDefined: (told) => told !== undefined,
  toBeGreaterThan: (told, least) => told > least,
  toBeGreaterThanOrEqual: (told, least) => told >= least,
  toBeLessThan: (told, most) => told < most,
  toBeLessThanOrEqual: (told, most) => told <= most,
  toBeInstanceOf: (told, type) => told instanceof type,
  toBeTypeOf: (told, type) => typeof told === type,
  toThrow: (told) => {
    try {
      told();
      return false;
    } catch {
      return true;
    }
  },
  toMatch: (told, pattern) => (pattern instanceof RegExp ? pattern.test(told) : told.includes(pattern)),
};

function matchers(told, wanted, fail) {
  return Object.fromEntries(
    Object.entries(CHECKS).map(([name, check]) => [
      name,
      (expected) => {
        if (check(told, expected) !== wanted) fail(name, told, expected);
      },
    ]),
  );
}

export function expect(told, message) {
  const fail = (name, actual, expected) => {
    throw new Error(`${message ?? ""} ${name}: ${show(actual)} and ${show(expected)}`);
  };
  const rejects = Object.fromEntries(
    ["toMatchObject", "toThrow"].map((name) => [
      name,
      async (expected) => {
        let error;
        try {
          await told;
        } catch (thrown) {
          error = thrown;
        }
        if (error === undefined) fail("resolved", undefined, expected);
        const meant = typeof expected === "string" ? error.message.includes(expected) : expected?.test?.(error.message);
        if (name === "toThrow" ? expected !== undefined && !meant : !alike(error, expected, true))
          fail(name, error, expected);
      },
    ]),
  );
  const resolves = Object.fromEntries(
    Object.keys(CHECKS).map((name) => [name, async (expected) => matchers(await told, true, fail)[name](expected)]),
  );
  return { ...matchers(told, true, fail), not: matchers(told, false, fail), rejects, resolves };
}

const show = (value) => {
  try {
    return JSON.stringify(value)?.slice(0, 100);
  } catch {
    return String(value);
  }
};
