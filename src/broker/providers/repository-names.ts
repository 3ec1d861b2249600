import { Problem } from "../../core/problem.js";

// OCI distribution spec, "name", a little wider (upper case, which some registries take) but without any character that
// means something in a scope (space, colon, comma) or in an IAM resource (`*`, `?`).
const repositoryName = /^[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*(?:\/[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*)*$/;

const maxCharacters = 255;

/**
 * Refuses names that would widen a session policy or add a scope of their own. The API has checked them before; what
 * is between a name and a policy checks again.
 * @throws Problem `invalid-request`
 */
export function checkRepositoryNames(repositories: readonly string[]): void {
  for (const [index, name] of repositories.entries()) {
    if (name.length <= maxCharacters && repositoryName.test(name)) continue;
    throw new Problem("invalid-request", "A repository name is not valid: write it without host, tag or wildcard.", {
      invalid: [{ at: `/repositories/${index}`, reason: "is not a repository name" }],
    });
  }
}
