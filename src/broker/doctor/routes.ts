import type { z } from "zod";
import { requestedBy } from "../../audit/record.js";
import type { Caller, FactoryRef } from "../../core/caller.js";
import type { ProblemCode } from "../../core/problem.js";
import { json, type RequestFacts, route } from "../../http/route.js";
import { SecretParams } from "../../secrets/contract.js";
import { SecretVersionParams } from "../../secrets/versions/routes.js";
import { DoctorReport, DoctorRequest } from "./contract.js";
import { type DoctorDeps, examineSecret } from "./examine-secret.js";
import { reportView } from "./report-view.js";

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
