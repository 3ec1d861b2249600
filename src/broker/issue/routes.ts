import { requestedBy } from "../../audit/record.js";
import { Problem } from "../../core/problem.js";
import { FactoryParams } from "../../http/contract.js";
import { json, PreparedJson, route } from "../../http/route.js";
import type { Minted } from "../providers/provider.js";
import { deliverSecrets, fitForJobs, jobFiles } from "./ci-scripts.js";

import { RegistryTokenReply, RegistryTokenRequest } from "./contract.js";
import { type BrokerDeps, type Issued, type IssueInput, issueTokens } from "./issue-token.js";
import type { Products } from "./products.js";
import { type AwsFiles, type AwsFilesInput, renderReply, unfitFor } from "./render-reply.js";

type Deps = BrokerDeps &
  Pick<Products, "registryTokens"> & {
    /** Renders files for AWS programs. They hold keys of the job instead of a token. */
    awsFiles(input: AwsFilesInput): Promise<AwsFiles>;
  };

const issue = route(
  {
    id: "issueRegistryTokens",
    method: "post",
    path: "/v1/factories/{factory}/registry-tokens",
    tag: "Registry tokens",
    summary: "Get short-lived registry tokens",
    description:
      "Without `registry`, for every entry that the caller may pull from. A token is handed out again while it is fresh. It cannot be withdrawn: it ends at `expiresAt`.",
    auth: { permission: "registry-tokens:issue" },
    params: FactoryParams,
    body: json(RegistryTokenRequest),
    replies: {
      200: {
        description: "The tokens, in the format asked for.",
        content: { "application/json": RegistryTokenReply },
        headers: {
          "Factory-Secrets-Failures":
            "With `allowPartial` and a format other than `tokens`: `registry=code` of each failure.",
        },
      },
    },
    problems: [
      "outside-grants",
      "destination-not-approved",
      "secret-missing",
      "secret-malformed",
      "secret-unreadable",
      "scope-not-enforceable",
      "repositories-required",
      "registry-required",
      "registry-unknown",
      "ttl-not-available",
      "not-representable",
      "destination-refused",
      "nothing-to-mint",
      "federation-unavailable",
      "invalid-config",
      "conflict",
      "limit-reached",
      "upstream-throttled",
      "upstream-refused",
      "upstream-unreachable",
      "upstream-invalid",
      "upstream-timeout",
      "upstream-circuit-open",
    ],
    holdsCredential: true,
  },
  async (deps: Deps, { caller, factory, body, request }) => {
    deps.tokenRequests.count(caller);
    const { registry, repositories, requests, allowBroader, allowPartial, minTtlSeconds, format } = body;
    const asked = requests ?? (registry === undefined ? undefined : [{ registry, repositories }]);
    const requested = requestedBy(request);
    if (format === "aws-config" || format === "aws-credentials-file") {
      return { status: 200, body: await deps.awsFiles({ factory, caller, asked, format, requested }) };
    }
    const unfit = unfitFor(format);
    const input = { factory, caller, asked, allowBroader, allowPartial, minTtlSeconds, unfit, requested };
    if (format === "ci-scripts") return { status: 200, body: await issueJobFiles(deps, input) };
    const issued = await issueTokens(deps, deps.registryTokens, input);
    if (issued.tokens.length === 0 && issued.failures.length === 0) throw nothingToIssue();
    const headers = format === "tokens" ? {} : failureHeader(issued);
    return { status: 200, body: renderReply(issued, format), headers };
  },
);

// A config.json has no place for what is missing from it.
function failureHeader({ failures }: Issued<Minted>): Record<string, string> {
  if (failures.length === 0) return {};
  return { "Factory-Secrets-Failures": failures.map(({ registry, code }) => `${registry}=${code}`).join(", ") };
}

const nothingToIssue = (): Problem =>
  new Problem(
    "registry-unknown",
    "The factory config has no entries yet: put a factory-config.yml that names a registry.",
  );

export const brokerRoutes = [issue];

/**
 * What a job's `/secrets` hold: registries and delivered secrets. A factory without entries has an empty list of
 * registries, for a job may need the secrets alone.
 * @throws Problem as `issueTokens` and `deliverSecrets`; `not-representable` when a registry's token fits in no file,
 *   unless the request takes what there is
 */
async function issueJobFiles(
  deps: BrokerDeps & Pick<Products, "registryTokens">,
  input: IssueInput,
): Promise<PreparedJson> {
  const issued = await issueTokens(deps, deps.registryTokens, input);
  const { fit, failures: unfit } = fitForJobs(issued.tokens.map(({ token }) => token));
  const failures = [...issued.failures, ...unfit];
  if (unfit.length > 0 && !input.allowPartial) {
    const detail = unfit.map(({ registry, message }) => `${registry}: ${message}`).join(" ");
    throw new Problem("not-representable", detail, { failures });
  }
  const files = jobFiles(fit, await deliverSecrets(deps, input));
  return new PreparedJson(JSON.stringify({ files, ...(failures.length > 0 && { failures }) }));
}
