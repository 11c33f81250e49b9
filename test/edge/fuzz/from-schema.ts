import fc from "fast-check";

/** A JSON Schema as `openapi.json` has it: the keywords that are met there. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
  readonly format?: string;
}

/** What is likely to mean something, by the name of the member that it is for. */
export type Hints = Readonly<Record<string, fc.Arbitrary<unknown>>>;

/** Values that a schema takes, small ones for the most part. References lead into `components`. */
export function valuesOf(
  schema: Schema,
  components: Readonly<Record<string, Schema>>,
  hints: Hints,
): fc.Arbitrary<unknown> {
  const known = new Map<string, fc.Arbitrary<unknown>>();
  const from = (part: Schema): fc.Arbitrary<unknown> => {
    if (part.$ref !== undefined) {
      const name = part.$ref.replace("#/components/schemas/", "");
      const values = known.get(name) ?? from(components[name] as Schema);
      known.set(name, values);
      return values;
    }
    if (part.const !== undefined) return fc.constant(part.const);
    if (part.enum) return fc.constantFrom(...part.enum);
    const some = part.anyOf ?? part.oneOf;
    if (some) return fc.oneof(...some.map(from));
    if (Array.isArray(part.type)) return fc.oneof(...part.type.map((type) => from({ ...part, type })));
    switch (part.type) {
      case "null":
        return fc.constant(null);
      case "boolean":
        return fc.boolean();
      case "integer":
        return integers(part);
      case "number":
        return fc.oneof(integers(part), fc.double({ ...bounds(part), noNaN: true, noDefaultInfinity: true }));
      case "string":
        return strings(part);
      case "array":
        return fc.array(from(part.items ?? {}), { maxLength: Math.min(part.maxItems ?? 3, 3) });
      case "object":
        return objects(part, from, hints);
      default:
        return fc.jsonValue({ maxDepth: 2 });
    }
  };
  return from(schema);
}

const bounds = ({ minimum = -1e9, maximum = 1e9 }: Schema) => ({ min: minimum, max: maximum });

/** Most of them near the ends of what is allowed, where mistakes are. */
function integers(schema: Schema): fc.Arbitrary<number> {
  const { min, max } = bounds(schema);
  const [least, most] = [Math.ceil(min), Math.floor(max)];
  return fc.oneof(
    fc.constantFrom(least, most, Math.min(most, least + 1)),
    fc.integer({ min: least, max: Math.min(most, least + 1_000) }),
  );
}

function strings({ format, pattern, minLength = 0, maxLength = 40 }: Schema): fc.Arbitrary<string> {
  if (format === "email") return fc.emailAddress().map((address) => address.replaceAll(/[^\w@.+-]/g, "x"));
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern));
  const length = { minLength, maxLength: Math.min(maxLength, minLength + 12) };
  return fc.oneof(fc.string({ ...length, unit: "binary" }), fc.string(length));
}

/** Stands for a member that is not there. */
const ABSENT = Symbol("absent");

function objects(
  { properties = {}, required = [], additionalProperties }: Schema,
  from: (part: Schema) => fc.Arbitrary<unknown>,
  hints: Hints,
): fc.Arbitrary<unknown> {
  const names = Object.keys(properties);
  const members = names.map((name) => {
    const part = from(properties[name] as Schema);
    const hint = Object.hasOwn(hints, name) ? hints[name] : undefined;
    const values = hint ? fc.oneof({ weight: 4, arbitrary: hint }, part) : part;
    if (required.includes(name)) return values;
    // About two of those that may be left out are there: of objects with all of them none would be right.
    const absent = { weight: Math.max(1, names.length - required.length - 2), arbitrary: fc.constant(ABSENT) };
    return fc.oneof({ weight: 2, arbitrary: values }, absent);
  });
  const more =
    typeof additionalProperties === "object"
      ? fc.dictionary(fc.string({ maxLength: 5 }), from(additionalProperties), { maxKeys: 2 })
      : fc.constant({});
  return fc.tuple(more, ...members).map(([others, ...values]) => ({
    ...others,
    ...Object.fromEntries(names.flatMap((name, at) => (values[at] === ABSENT ? [] : [[name, values[at]]]))),
  }));
}
