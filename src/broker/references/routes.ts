import { requestedBy } from "../../audit/record.js";
import { FactoryParams } from "../../http/contract.js";
import { json, route } from "../../http/route.js";
import { type CheckDeps, checkReferences } from "./check-references.js";
import { CheckedReferences, ReferencesCheck } from "./contract.js";

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
