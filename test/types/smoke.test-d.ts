import { expectTypeOf } from "vitest";

expectTypeOf<{ id: string }>().toHaveProperty("id").toEqualTypeOf<string>();
// @ts-expect-error: the property is not there
expectTypeOf<{ id: string }>().toHaveProperty("name");
