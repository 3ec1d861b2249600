import { z } from "zod";
import { requestedBy } from "../../audit/record.js";
import { FactoryParams } from "../../http/contract.js";
import { json, route } from "../../http/route.js";
import { type CheckDeps, checkReferences } from "./check-references.js";

/** References in one request. Each costs a call or three to its registry. */
const maxReferences = 100;
const maxPlatforms = 10;

const Platform = z
  .string()
  .max(60)
  .regex(
    /^[a-z0-9_]+\/[a-z0-9_]+(?:\/[a-z0-9_.]+)?$/,
    "a platform is written os/architecture or os/architecture/variant",
  )
  .meta({ example: "linux/arm64" });

export const ReferencesCheck = z
  .strictObject({
    references: z
      .array(z.string().min(1).max(600))
      .min(1)
      .max(maxReferences)
      .meta({ description: "As a Dockerfile or compose file has them.", example: ["ghcr.io/acme/base:1"] }),
    platforms: z.array(Platform).min(1).max(maxPlatforms).optional().meta({
      description: "Each image must be there for all of these.",
    }),
  })
  .meta({ id: "ReferencesCheck" });

export const ReferenceOutcome = z
  .enum(["ok", "not-covered", "refused", "missing", "platform-missing", "unknown", "invalid"])
  .meta({
    id: "ReferenceOutcome",
    description:
      "`ok`: it can be pulled. `not-covered`: no entry is for its registry, so it is pulled without a login. `refused`: the caller, or the stored credential, may not pull it. `missing`: there is no such repository, tag or digest. `platform-missing`: not for a platform that was asked for. `unknown`: the registry did not answer. `invalid`: it is no reference.",
  });

export const CheckedReference = z
  .object({
    reference: z.string(),
    outcome: ReferenceOutcome,
    message: z.string().meta({ description: "What was found, and what to do about it." }),
    code: z.string().optional().meta({ description: "The problem that `registry-tokens` answers with." }),
    registry: z.string().optional(),
    repository: z.string().optional(),
    entry: z.string().optional().meta({ description: "The registry entry that covers it." }),
    digest: z.string().optional().meta({ description: "What the tag stands for now." }),
    platforms: z.array(z.string()).optional().meta({
      description: "Those that it is there for. Absent when the registry does not tell.",
    }),
  })
  .meta({ id: "CheckedReference" });

export const CheckedReferences = z
  .object({ items: z.array(CheckedReference).meta({ description: "In the order of the request." }) })
  .meta({ id: "CheckedReferences" });

export type CheckedReference = z.output<typeof CheckedReference>;

const check = route(
  {
    id: "checkReferences",
    method: "post",
    path: "/v1/factories/{factory}/references:check",
    tag: "Registry tokens",
    summary: "Find out whether images can be pulled",
    description:
      "Asks each registry with the token that the caller would get for it. The tokens stay here. No answer is an error of the request: each reference has an outcome of its own.",
    auth: { permission: "registry-tokens:issue" },
    isCostly: true,
    params: FactoryParams,
    body: json(ReferencesCheck),
    replies: { 200: { description: "What was found.", content: { "application/json": CheckedReferences } } },
    problems: ["conflict", "not-found"],
  },
  async (deps: CheckDeps, { caller, factory, body, request }) => {
    deps.tokenRequests.count(caller);
    const { references, platforms = [] } = body;
    const items = await checkReferences(deps, {
      factory,
      caller,
      requested: requestedBy(request),
      references,
      platforms,
    });
    return { status: 200, body: { items } };
  },
);

export const referenceRoutes = [check];
