import type { ClearOption, ConfigureOption, JobOptions, RecurrenceOption, RetryAllOption } from "@quayside/core";
import type { AttemptReport, ExchangeRequest, ListQuery, NewJob, Settlement } from "@quayside/core/engine";
import type {
  ClearParameters,
  ExchangeBody,
  JobBody,
  ListParameters,
  RetryParameters,
  ScheduleBody,
  SettingsBody,
} from "@quayside/edge";
import { describe, expectTypeOf, it } from "vitest";

// The schemas of the API say what core's verbs take: what one side learns, the other must.
describe("the API's schemas", () => {
  it("have every job option but encryption, which is for those who have the keys", () => {
    expectTypeOf<keyof NonNullable<JobBody["options"]>>().toEqualTypeOf<Exclude<keyof JobOptions, "encrypted">>();
    expectTypeOf<NonNullable<JobBody["flow"]>>().toExtend<NonNullable<NewJob["flow"]>>();
    expectTypeOf<JobBody["name"]>().toEqualTypeOf<string>();
  });

  it("have all of an exchange but what the server says itself, and what a worker of a split queue brings along", () => {
    type Recalled = "memo" | "again" | "quiet" | "apart" | "only";
    expectTypeOf<Exclude<keyof ExchangeBody, Recalled>>().toEqualTypeOf<Exclude<keyof ExchangeRequest, "liveness">>();
    expectTypeOf<keyof ExchangeBody["settle"][number]>().toEqualTypeOf<keyof Settlement>();
    expectTypeOf<ExchangeBody["settle"][number]["outcome"]>().toEqualTypeOf<Settlement["outcome"]>();
    expectTypeOf<NonNullable<ExchangeBody["progress"]>[number]>().toExtend<AttemptReport>();
  });

  it("have all of queries, settings and recurrences", () => {
    expectTypeOf<Required<ListParameters>>().toExtend<Omit<Required<ListQuery>, "queue" | "positions" | "bytes">>();
    // Positions and a share of the bytes are for who puts the pages of several stores together, which is done behind the API.
    expectTypeOf<keyof ListParameters>().toEqualTypeOf<Exclude<keyof ListQuery, "queue" | "positions" | "bytes">>();
    expectTypeOf<keyof ClearParameters>().toEqualTypeOf<keyof ClearOption>();
    expectTypeOf<keyof RetryParameters>().toEqualTypeOf<keyof RetryAllOption>();
    expectTypeOf<keyof SettingsBody>().toEqualTypeOf<keyof ConfigureOption>();
    type KeyOf<Union> = Union extends unknown ? keyof Union : never;
    expectTypeOf<keyof ScheduleBody["rule"]>().toEqualTypeOf<KeyOf<RecurrenceOption>>();
  });
});
