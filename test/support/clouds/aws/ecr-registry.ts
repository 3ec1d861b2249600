import type { Clock } from "../clock.js";
import { basicOf, type CloudReply, type CloudRequest } from "../cloud-endpoint.js";
import { parseRegistryPath, registryError, servedReply } from "../registry-v2.js";
import type { IssuedPassword } from "./answer-ecr.js";
import type { IamDirectory } from "./iam-directory.js";

export type EcrRegistryDeps = {
  iam: IamDirectory;
  clock: Clock;
  accountId: string;
  region: string;
  passwords: ReadonlyMap<string, IssuedPassword>;
};

const pullActions = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];

/**
 * Answers a private ECR registry, `<account>.dkr.ecr.<region>.amazonaws.com`. Basic only: a bearer is refused, as ECR
 * does. A pull needs both pull actions on the repository's ARN in every policy behind the password.
 */
export function answerEcrRegistry(deps: EcrRegistryDeps, request: CloudRequest): CloudReply {
  const path = parseRegistryPath(request.path);
  if (path === undefined) return registryError(404, "NAME_UNKNOWN", "not served here");
  const basic = basicOf(request);
  const issued = basic?.user === "AWS" ? deps.passwords.get(basic.password) : undefined;
  if (issued === undefined || issued.registryFlavour !== "ecr" || issued.region !== deps.region) {
    const realm = `Basic realm="https://${request.host}/",service="ecr.amazonaws.com"`;
    return registryError(401, "UNAUTHORIZED", "Not Authorized", { "www-authenticate": realm });
  }
  if (issued.expiresAt <= deps.clock.now() || deps.iam.hasExpired(issued.principal)) {
    return registryError(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.");
  }
  if (path.repository !== undefined) {
    const arn = `arn:aws:ecr:${deps.region}:${deps.accountId}:repository/${path.repository}`;
    const refused = pullActions.find((action) => !deps.iam.allows(issued.principal, action, arn));
    if (refused !== undefined) {
      return registryError(
        403,
        "DENIED",
        `User: ${issued.principal.arn} is not authorized to perform: ${refused} on resource: ${arn}`,
      );
    }
  }
  return servedReply(path);
}
