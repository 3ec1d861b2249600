import type { RegistryEntry, RegistryType } from "../../factory-config/entry.js";
import type { Selected } from "../issue/decide-demands.js";
import { createAwsDoctor } from "../providers/aws/doctor.js";
import { createAzureDoctor } from "../providers/azure/doctor.js";
import { createProviders, type ProviderDeps } from "../providers/create-providers.js";
import { createGenericDoctor } from "../providers/docker/doctor.js";
import { createGarDoctor } from "../providers/google/doctor.js";
import {
  type Check,
  checkOfFailure,
  type Examination,
  type Examined,
  failed,
  type RegistryDoctor,
  unknown,
  worstOf,
} from "./check.js";

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

/** Tries a credential at one registry. Nothing is sent to a place that no one approved for the secret. */
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
    `No caller with secrets:write has approved sending "${secretName}" to ${entryId}, so it was not sent. Let one publish the config.`,
  );

/** The doctor of each type of entry. */
export type Doctors = {
  [T in RegistryType]: RegistryDoctor<Extract<RegistryEntry, { type: T }>>;
};

/** Makes the four. What a job would get is asked of providers of their own, so that nothing meets the tokens' cache. */
export function createDoctors(deps: ProviderDeps): Doctors {
  const { outbound, now, settings } = deps;
  const providers = createProviders(deps);
  return {
    aws: createAwsDoctor({ outbound, now, provider: providers.aws }),
    azure: createAzureDoctor({ outbound, now }),
    gar: createGarDoctor({ outbound, now }),
    generic: createGenericDoctor({ outbound, now, ...settings }),
  };
}

export function examineByType(doctors: Doctors, examination: Examination): Promise<Examined> {
  const { entry } = examination;
  switch (entry.type) {
    case "aws":
      return doctors.aws.examine({ ...examination, entry });
    case "azure":
      return doctors.azure.examine({ ...examination, entry });
    case "gar":
      return doctors.gar.examine({ ...examination, entry });
    case "generic":
      return doctors.generic.examine({ ...examination, entry });
    default:
      return entry satisfies never;
  }
}
