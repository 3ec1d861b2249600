import { Problem } from "../../core/problem.js";
import { PreparedJson } from "../../http/route.js";
import { type BrokerDeps, type IssueInput, issueTokens } from "../issue-token.js";
import type { Products } from "../products.js";
import { deliverSecrets } from "./deliver-secrets.js";
import { fitForJobs, jobFiles } from "./job-files.js";

/**
 * What a job's `/secrets` hold: registries and delivered secrets. A factory without entries has an empty list of
 * registries, for a job may need the secrets alone.
 * @throws Problem as `issueTokens` and `deliverSecrets`; `not-representable` when a registry's token fits in no file,
 *   unless the request takes what there is
 */
export async function issueJobFiles(
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
