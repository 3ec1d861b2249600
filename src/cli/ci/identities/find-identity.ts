import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import { buildkite } from "./buildkite.js";
import { githubActions } from "./github-actions.js";
import { givenIdToken, givenToken } from "./given-token.js";
import type { FindDeps, IdentitySource, JobIdentity } from "./job-identity.js";
import { projectedToken, projectedTokenPath } from "./kubernetes.js";

/** In this order; the first that is there wins. What somebody set on purpose comes before what is just there. */
const sources: readonly IdentitySource[] = [
  givenToken,
  givenIdToken,
  githubActions,
  buildkite,
  projectedToken(projectedTokenPath),
];

/**
 * Finds who this job is.
 * @throws CommandFailure `noIdentity` with all that was looked for
 */
export function findIdentity(deps: FindDeps): JobIdentity {
  for (const source of sources) {
    const identity = source.find(deps);
    if (identity) return identity;
  }
  const list = sources.map(({ lookedFor }) => `  - ${lookedFor}`).join("\n");
  throw new CommandFailure(exitCodes.noIdentity, `This job has no identity. Looked for, in this order:\n${list}`);
}
