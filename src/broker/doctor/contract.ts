import { z } from "zod";
import { RegistryName, RepositoryName } from "../../core/grant.js";
import { RegistryTypeName } from "../../factory-config/contract.js";

/** Each named repository costs a call or two. */
const maxRepositories = 10;

export const DoctorRequest = z
  .strictObject({
    registry: RegistryName.optional().meta({ description: "Try this registry alone: its host, or an entry's id." }),
    repositories: z
      .array(RepositoryName)
      .min(1)
      .max(maxRepositories)
      .optional()
      .meta({ description: "See of each whether it may be pulled, and pushed to." }),
  })
  .refine(({ registry, repositories }) => !repositories || registry, {
    message: "needs registry: say whose repositories these are",
    path: ["repositories"],
  })
  .meta({ id: "DoctorRequest" });

export const DoctorOutcome = z.enum(["ok", "warning", "failed", "unknown"]).meta({
  id: "DoctorOutcome",
  description:
    "`failed`: jobs would get no token. `warning`: it works, and something should be changed. `unknown`: it could not be found out, and why. Of several the worst, in the order failed, warning, unknown, ok.",
});

/** What is tried at a registry. */
export const doctorCodes = [
  "destination",
  "form",
  "registry",
  "login",
  "expired-credential",
  "same-principal",
  "narrowing",
  "reach",
  "push",
  "over-privileged",
  "personal-credential",
] as const;

export const DoctorCheck = z
  .object({
    code: z
      .string()
      .meta({ description: `At a registry one of: ${doctorCodes.join(", ")}. Of the value: the code of a warning.` }),
    outcome: DoctorOutcome,
    message: z.string().meta({ description: "What was found and what to do. Never quotes a value." }),
  })
  .meta({ id: "DoctorCheck" });

export const DoctorRegistry = z
  .object({
    entry: z.string().meta({ description: "Id of the registry entry." }),
    registry: z.string().optional().meta({ description: "The host. Absent: the entry has none." }),
    type: RegistryTypeName,
    outcome: DoctorOutcome,
    principal: z.string().optional().meta({
      description: "Who the cloud says that the credential is.",
      example: "arn:aws:iam::123456789012:user/ci",
    }),
    checks: z.array(DoctorCheck),
  })
  .meta({ id: "DoctorRegistry", description: "One registry that was tried." });

export const DoctorReport = z
  .object({
    name: z.string(),
    version: z.int().meta({ description: "The version that was tried." }),
    currentVersion: z.int().meta({ description: "What it was compared with, where it is another." }),
    outcome: DoctorOutcome,
    passed: z.boolean().meta({
      description: "Every registry that names the secret let it in, and nothing failed: what `doctor=true` demands.",
    }),
    checks: z.array(DoctorCheck).meta({ description: "Of the value itself: the warnings of a write." }),
    registries: z.array(DoctorRegistry),
  })
  .meta({ id: "DoctorReport", description: "What a version of a secret is good for. Never holds a value." });
