import type { z } from "zod";
import { Problem } from "../../core/problem.js";
import type { Plaintext } from "../../crypto/plaintext.js";
import type { RegistryEntry } from "../../factory-config/entry.js";
import type { MintRequest, OpenedSecret } from "../providers/provider.js";
import { CredentialExpired } from "../providers/upstream-reply.js";
import type { DoctorOutcome, doctorCodes } from "./routes.js";

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

/** What is to be tried: one version of a secret at one registry of one entry. */
export type Examination<E extends RegistryEntry = RegistryEntry> = Pick<
  MintRequest<E>,
  "entry" | "host" | "factoryId" | "repositories" | "signal"
> & {
  secret: OpenedSecret;
  /** The opened current version, when another one is tried. */
  current: Plaintext | undefined;
};

export type Examined = {
  /** Who the cloud says it is. Nothing out of the value itself. */
  principal?: string;
  checks: Check[];
};

/**
 * Tries a credential at its registry, by calls that change nothing there. No token that it gets outlives the call.
 * A `Problem` that it throws is about the login; everything after that is a check.
 */
export interface RegistryDoctor<E extends RegistryEntry> {
  examine(examination: Examination<E>): Promise<Examined>;
}

/** A repository that exists nowhere: what is allowed there is allowed everywhere. */
export const nowhere = "factory-secrets-doctor/no-such-repository";

/** Secrets are tried here, so nothing is signed in the place of one. */
export const assertNothing = (): Promise<never> => Promise.reject(new Error("a secret needs no assertion beside it"));

/**
 * Compares who two versions say that they are, for clouds where the value itself names the principal.
 * @param then the current version's, `undefined` when it cannot be read
 * @param what what is compared, for the sentence: "the application (client id)"
 */
export function sameByName(what: string, now: string, then: string | undefined): Check {
  if (then === undefined) {
    return unknown("same-principal", "The current version cannot be read, so there is nothing to compare with.");
  }
  if (now === then) return passed("same-principal", `It is ${what} of the current version.`);
  return warned("same-principal", `It is not ${what} of the current version. Check that this is meant.`);
}
