import { z } from "zod";
import { requestedBy } from "../../audit/requested-by.js";
import { AwsKeyPair } from "../../broker/contract.js";
import { RegistryName } from "../../core/grant.js";
import { FactoryIdParams } from "../../http/contract.js";
import { json, route } from "../../http/route.js";
import type { TokenRequests } from "../../limits/token-requests.js";
import { byCurrentFacts, onlyAwsEntry } from "./choose-entry.js";
import { giveKeys, jobForKeys, type MakeKeysDeps } from "./make-keys.js";

const AwsKeysRequest = z
  .strictObject({
    registry: RegistryName.optional().meta({
      description: "Host or id of an entry of type aws. May be absent when there is only one.",
    }),
  })
  .meta({ id: "AwsKeysRequest" });

const makeKeys = route(
  {
    id: "makeJobAwsKeys",
    method: "post",
    path: "/v1/factories/{factory}/jobs/{id}:aws-keys",
    tag: "AWS programs",
    summary: "AWS-shaped keys of a job for one registry entry",
    description:
      "For the job itself, or a credential without grants. AWS programs sign with them what they ask of `/aws/ecr/{factory}`; they are good nowhere else, and end with the job. Asking again gives the same pair.",
    auth: { permission: "registry-tokens:issue" },
    params: FactoryIdParams,
    body: json(AwsKeysRequest),
    replies: { 200: { description: "The pair.", content: { "application/json": AwsKeyPair } } },
    problems: ["outside-grants", "registry-unknown", "registry-required", "not-representable", "invalid-config"],
    holdsCredential: true,
  },
  async (deps: MakeKeysDeps & { tokenRequests: TokenRequests }, { caller, factory, params, body, request }) => {
    deps.tokenRequests.count(caller);
    const job = await jobForKeys(deps.callers, { jobId: params.id, caller, factory });
    const entry = await byCurrentFacts(deps.facts, factory, (facts) => onlyAwsEntry(facts, job, body.registry));
    const pair = await giveKeys(deps, { job, entry, caller, factory, requested: requestedBy(request) });
    return { status: 200, body: pair };
  },
);

export const awsKeyRoutes = [makeKeys];
