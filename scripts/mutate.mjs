/**
 * Breaks the rules on purpose: changes one place at a time in `packages/core/src/engine` and `job`, and runs the core
 * suites on memory. A change that no test notices is a hole in the suite, or a change that means the same.
 *
 *   pnpm mutate --count 300 --seed 7        a sample; all when there is no --count
 *   pnpm mutate --only engine/claim.ts       of one file
 */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parseSync } from "vite";

const { values: options } = parseArgs({
  options: {
    count: { type: "string" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    goal: { type: "string", default: "0" },
  },
});
const root = fileURLToPath(new URL("../packages/core/src/", import.meta.url));
const RUN = fileURLToPath(new URL("mutate/run.mjs", import.meta.url));
const SUITES = ["driver-memory", "store-memory", "values", "rules", "attention"].map(
  (name) => `test/core/${name}.test.ts`,
);
const TIMEOUT_MS = 30_000;

/** Another operator where one stands. */
const OPERATORS = {
  "<": "<=",
  "<=": "<",
  ">": ">=",
  ">=": ">",
  "===": "!==",
  "!==": "===",
  "+": "-",
  "-": "+",
  "*": "/",
  "/": "*",
  "&&": "||",
  "||": "&&",
};

/** Every place of a file that can be broken, as `{ start, end, text, what }`. */
function mutantsOf(file) {
  const source = readFileSync(file, "utf8");
  const { program, errors } = parseSync(file, source);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0].message}`);
  const found = [];
  const add = (start, end, text, what) => found.push({ file, start, end, text, what, line: lineOf(source, start) });
  const visit = (node) => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (!node || typeof node !== "object" || typeof node.type !== "string") return undefined;
    // Types say nothing at run time, and what an error says to people is not a rule.
    if (node.type.startsWith("TS") && !["TSAsExpression", "TSNonNullExpression"].includes(node.type)) return undefined;
    if (node.type === "ImportDeclaration" || node.type === "TemplateLiteral") return undefined;
    if (node.type === "NewExpression" && /Error$/.test(node.callee.name ?? "")) return undefined;
    mutate(node, source, add);
    for (const [name, child] of Object.entries(node)) if (name !== "typeAnnotation") visit(child);
    return undefined;
  };
  visit(program);
  return found;
}

function mutate(node, source, add) {
  const text = (one) => source.slice(one.start, one.end);
  switch (node.type) {
    case "IfStatement":
    case "ConditionalExpression":
      add(node.test.start, node.test.end, `!(${text(node.test)})`, "condition negated");
      break;
    case "BinaryExpression":
    case "LogicalExpression": {
      const between = source.slice(node.left.end, node.right.start);
      const other = OPERATORS[node.operator];
      const at = node.left.end + between.indexOf(node.operator);
      if (other) add(at, at + node.operator.length, other, `${node.operator} → ${other}`);
      if (node.operator === "??") add(node.start, node.end, `(${text(node.left)})`, "fallback removed");
      break;
    }
    case "ExpressionStatement":
      if (node.expression.type !== "Literal") add(node.start, node.end, ";", "statement removed");
      break;
    case "Literal":
      if (typeof node.value === "number")
        add(node.start, node.end, String(node.value + 1), `${node.value} → ${node.value + 1}`);
      if (typeof node.value === "boolean")
        add(node.start, node.end, String(!node.value), `${node.value} → ${!node.value}`);
      break;
    case "UnaryExpression":
      if (node.operator === "!") add(node.start, node.end, `(${text(node.argument)})`, "! removed");
      break;
  }
}

const lineOf = (source, at) => source.slice(0, at).split("\n").length;

/** Repeatable: the same seed takes the same sample (mulberry32). */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function sample(all, count, next) {
  const left = [...all];
  const taken = [];
  while (taken.length < count && left.length > 0) taken.push(...left.splice(Math.floor(next() * left.length), 1));
  return taken;
}

/** Whether a suite noticed; a mutant that hangs is noticed too. */
function isKilled(mutant, suites) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--no-warnings", RUN], {
      env: {
        ...process.env,
        SUITES: suites.join(","),
        ...(mutant && { MUTANT: JSON.stringify(mutant) }),
        MODEL_RUNS: "300",
        MODEL_SEED: "1",
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (said += data));
    const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
    child.on("exit", (code) => {
      clearTimeout(timer);
      resolve({ killed: code !== 0, said });
    });
  });
}

const files = ["store", "job"].flatMap((folder) => readdirSync(root + folder).map((name) => `${folder}/${name}`));
const all = files
  .filter((name) => name.endsWith(".ts") && name.includes(options.only))
  .flatMap((name) => mutantsOf(root + name));
const chosen = sample(all, Number(options.count ?? all.length), random(Number(options.seed)));

const MODEL = "test/model/memory.test.ts";
const whole = await isKilled(undefined, [...SUITES, MODEL]);
if (whole.killed) {
  console.error(`The suites fail without any mutation:\n${whole.said}`);
  process.exit(1);
}

const survived = [];
let done = 0;
let next = 0;
async function work() {
  for (let mutant = chosen[next++]; mutant; mutant = chosen[next++]) {
    const { killed } = await isKilled(mutant, [...SUITES, MODEL]);
    done++;
    if (killed) continue;
    survived.push(mutant);
    const { file, line, what, start, end } = mutant;
    const place = readFileSync(file, "utf8").slice(start, end).replace(/\s+/g, " ").slice(0, 90);
    console.log(`survived  ${file.slice(root.length)}:${line}  ${what}:  ${place}`);
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, work));
const score = done === 0 ? 100 : (100 * (done - survived.length)) / done;
console.log(
  `${done} of ${all.length} mutants (seed ${options.seed}): ${done - survived.length} killed, ${survived.length} survived, ${score.toFixed(1)} %`,
);
if (score < Number(options.goal)) process.exitCode = 1;
