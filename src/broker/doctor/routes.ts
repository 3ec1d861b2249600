import { z } from "zod";
import { requestedBy } from "../../audit/record.js";
import type { Caller, FactoryRef } from "../../core/caller.js";
import { RegistryName, RepositoryName } from "../../core/grant.js";
import type { ProblemCode } from "../../core/problem.js";
import { RegistryTypeName } from "../../factory-config/contract.js";
import { json, type RequestFacts, route } from "../../http/route.js";
import { SecretParams } from "../../secrets/contract.js";
import { SecretVersionParams } from "../../secrets/versions/routes.js";
import { type DoctorDeps, examineSecret, type DoctorReport as FoundReport } from "./examine-secret.js";

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

const replies = { 200: { description: "What was found.", content: { "application/json": DoctorReport } } };

const problems = [
  "not-found",
  "version-unsuitable",
  "conflict",
  "registry-unknown",
  "registry-required",
  "limit-reached",
  "secret-unreadable",
  "secret-in-use",
  "invalid-config",
  "too-many-requests",
] as const satisfies readonly ProblemCode[];

const description =
  "The broker tries it at the registry of each entry that names the secret, by calls that change nothing there: does it log in, is it the same principal as the current version, can tokens be narrowed, what does it reach, may it do more than it should. Every run is audited, and a secret is tried five times a minute. No token is kept or shown.";

type Asked = {
  caller: Caller;
  factory: FactoryRef;
  params: { name: string; version?: number };
  body: z.output<typeof DoctorRequest>;
  request: RequestFacts;
};

async function examine(deps: DoctorDeps, { caller, factory, params, body, request }: Asked) {
  const { name, version } = params;
  const { registry, repositories } = body;
  const requested = requestedBy(request);
  const report = await examineSecret(deps, { factory, caller, name, version, registry, repositories, requested });
  return { status: 200 as const, body: reportView(report) };
}

const examineVersion = route(
  {
    id: "examineSecretVersion",
    method: "post",
    path: "/v1/factories/{factory}/secrets/{name}/versions/{version}:doctor",
    tag: "Secrets",
    summary: "Try a version of a secret at its registries",
    description,
    auth: { permission: "secrets:write" },
    isCostly: true,
    params: SecretVersionParams,
    body: json(DoctorRequest),
    replies,
    problems,
  },
  examine,
);

const examineCurrent = route(
  {
    id: "examineSecret",
    method: "post",
    path: "/v1/factories/{factory}/secrets/{name}:doctor",
    tag: "Secrets",
    summary: "Try the current version of a secret at its registries",
    description,
    auth: { permission: "secrets:write" },
    isCostly: true,
    params: SecretParams,
    body: json(DoctorRequest),
    replies,
    problems,
  },
  examine,
);

export const doctorRoutes = [examineVersion, examineCurrent];

/** A report as the reply shows it. */
export function reportView(report: FoundReport): z.input<typeof DoctorReport> {
  const { name, version, currentVersion, outcome, passed, checks, registries } = report;
  return {
    name,
    version,
    currentVersion,
    outcome,
    passed,
    checks,
    registries: registries.map(({ entry, registry, type, outcome: worst, principal, checks: found }) => ({
      entry,
      type,
      outcome: worst,
      checks: found,
      ...(registry !== undefined && { registry }),
      ...(principal !== undefined && { principal }),
    })),
  };
}
