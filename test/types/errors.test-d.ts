import {
  type ErrorCode,
  type HttpCode,
  isQuaysideError,
  type PayloadIssue,
  QuaysideError,
  type StoredCode,
  type ThrownCode,
} from "@quayside/core";
import { describe, expectTypeOf, it } from "vitest";

declare const error: unknown;

describe("isQuaysideError", () => {
  it("types the details by the code", () => {
    if (isQuaysideError(error, "invalid_payload")) {
      expectTypeOf(error.code).toEqualTypeOf<"invalid_payload">();
      expectTypeOf(error.details.issues).toExtend<readonly PayloadIssue[]>();
      expectTypeOf(error.details.at).toEqualTypeOf<string | undefined>();
      expectTypeOf(error.details["anything"]).toBeUnknown();
      expectTypeOf(error).toExtend<QuaysideError>();
    }
    if (isQuaysideError(error, "payload_too_large")) expectTypeOf(error.details.limit).toBeNumber();
    if (isQuaysideError(error, "queue_full")) expectTypeOf(error.details.retryAfterMs).toBeNumber();
    if (isQuaysideError(error, "rate_limited"))
      expectTypeOf(error.details.retryAfterMs).toEqualTypeOf<number | undefined>();
  });

  it("narrows several codes by code, and any error without codes", () => {
    if (isQuaysideError(error, "invalid_payload", "job_not_found")) {
      expectTypeOf(error.code).toEqualTypeOf<"invalid_payload" | "job_not_found">();
      if (error.code === "job_not_found") expectTypeOf(error.details.id).toBeString();
      else expectTypeOf(error.details.issues[0]?.path).toEqualTypeOf<string | undefined>();
    }
    if (isQuaysideError(error)) {
      expectTypeOf(error.code).toEqualTypeOf<ErrorCode>();
      if (error.code === "child_exists") expectTypeOf(error.details.id).toBeString();
    }
    // @ts-expect-error no such code
    isQuaysideError(error, "invalid_payloads");
  });

  it("has codes that are thrown, stored and answered", () => {
    expectTypeOf<ThrownCode | StoredCode | HttpCode>().toEqualTypeOf<ErrorCode>();
    expectTypeOf<"handler_failed">().not.toExtend<ThrownCode>();
    expectTypeOf<"route_not_found">().not.toExtend<ThrownCode | StoredCode>();
    new QuaysideError("conflict", "No.");
    // @ts-expect-error no such code
    new QuaysideError("conflicts", "No.");
  });
});
