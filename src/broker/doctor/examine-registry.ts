import type { RegistryType } from "../../factory-config/entry.js";
import type { Selected } from "../select-registry.js";
import { type Check, checkOfFailure, failed, unknown, worstOf } from "./check.js";
import { type Doctors, examineByType } from "./create-doctors.js";
import type { Examination, Examined } from "./registry-doctor.js";

/** What was found out at one registry. */
export type ExaminedRegistry = {
  entry: string;
  registry?: string;
  type: RegistryType;
  outcome: Check["outcome"];
  principal?: string;
  checks: Check[];
  /** It let the credential in. */
  isLoggedIn: boolean;
};

// The longest way is a dozen calls of at most 5 s each, of which most are made side by side.
const deadlineMs = 20_000;

/** Tries a credential at one registry. Nothing is sent to a place that nobody approved for the secret. */
export async function examineRegistry(
  doctors: Doctors,
  { entry, host, isApproved }: Selected,
  subject: Omit<Examination, "entry" | "host" | "signal">,
): Promise<ExaminedRegistry> {
  const { principal, checks } = isApproved
    ? await examineInTime(doctors, { ...subject, entry, host, signal: AbortSignal.timeout(deadlineMs) })
    : { checks: [notApproved(subject.secret.name, entry.id)] };
  return {
    entry: entry.id,
    ...(host !== undefined && { registry: host }),
    type: entry.type,
    outcome: worstOf(checks),
    ...(principal !== undefined && { principal }),
    checks,
    isLoggedIn: checks.some(({ code, outcome }) => code === "login" && outcome === "ok"),
  };
}

async function examineInTime(doctors: Doctors, examination: Examination): Promise<Examined> {
  try {
    return await examineByType(doctors, examination);
  } catch (error) {
    if (examination.signal.aborted) return { checks: [tooSlow] };
    return { checks: [checkOfFailure("login", error)] };
  }
}

const tooSlow = unknown("login", `No answer within ${deadlineMs / 1_000} s. Try again later.`);

const notApproved = (secretName: string, entryId: string): Check =>
  failed(
    "destination",
    `Nobody with secrets:write has approved sending "${secretName}" to ${entryId}, so it was not sent. Let one publish the config.`,
  );
