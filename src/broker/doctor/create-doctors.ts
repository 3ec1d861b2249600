import type { RegistryEntry, RegistryType } from "../../factory-config/entry.js";
import { createProviders, type ProviderDeps } from "../providers/create-providers.js";
import { createAwsDoctor } from "./aws/examine-aws.js";
import { createAzureDoctor } from "./examine-azure.js";
import { createGenericDoctor } from "./examine-generic.js";
import { createGarDoctor } from "./gar/examine-gar.js";
import type { Examination, Examined, RegistryDoctor } from "./registry-doctor.js";

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
