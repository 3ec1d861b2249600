import type { z } from "zod";
import { Problem } from "../../core/problem.js";
import { CredentialExpired } from "../providers/upstream-reply.js";
import type { DoctorOutcome, doctorCodes } from "./contract.js";

export type CheckOutcome = z.output<typeof DoctorOutcome>;
export type CheckCode = (typeof doctorCodes)[number];

/** One thing that was looked at. The message says what was found and what to do, and never quotes a value. */
export type Check = { code: CheckCode; outcome: CheckOutcome; message: string };

export const passed = (code: CheckCode, message: string): Check => ({ code, outcome: "ok", message });
export const warned = (code: CheckCode, message: string): Check => ({ code, outcome: "warning", message });
export const failed = (code: CheckCode, message: string): Check => ({ code, outcome: "failed", message });
export const unknown = (code: CheckCode, message: string): Check => ({ code, outcome: "unknown", message });

const byWeight = ["failed", "warning", "unknown", "ok"] as const satisfies readonly CheckOutcome[];

/** The worst of several; `ok` when there are none. */
export function worstOf(checks: readonly { outcome: CheckOutcome }[]): CheckOutcome {
  return byWeight.find((outcome) => checks.some((check) => check.outcome === outcome)) ?? "ok";
}

// The registry was not asked, or did not say: that proves nothing for or against the credential.
const inconclusive: ReadonlySet<string> = new Set([
  "registry-required",
  "repositories-required",
  "upstream-throttled",
  "upstream-unreachable",
  "upstream-invalid",
  "upstream-timeout",
  "upstream-circuit-open",
]);

/**
 * What a failure says of the credential. Anything but a `Problem` is thrown on.
 * @param code what was being looked at
 */
export function checkOfFailure(code: CheckCode, error: unknown): Check {
  if (!(error instanceof Problem)) throw error;
  if (error.code === "secret-malformed") return failed("form", error.detail);
  if (error.code === "registry-required") return unknown("registry", error.detail);
  if (error.cause instanceof CredentialExpired) return failed("expired-credential", error.detail);
  return inconclusive.has(error.code) ? unknown(code, error.detail) : failed(code, error.detail);
}

/** Looks at one thing; what it fails with becomes its check. */
export async function checkedBy(code: CheckCode, look: () => Promise<Check>): Promise<Check> {
  try {
    return await look();
  } catch (error) {
    return checkOfFailure(code, error);
  }
}
