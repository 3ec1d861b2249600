import { Problem } from "../../core/problem.js";
import { compareAccess, type TokenClaims } from "./token-claims.js";

/** What a minted token is limited to, as the reply says it. */
export type MintedScope =
  | { scopeEnforcedBy: "registry"; scopeVerified: boolean; repositories: readonly string[] }
  | { scopeEnforcedBy: "iam-session-policy"; repositories: readonly string[] }
  | { scopeEnforcedBy: "none" };

const wayOut = ' Or ask with "allowBroader": true for a token that reaches all that the credential can.';

/** The demand cannot be held to. `reason` says why and what to change; the way out with `allowBroader` is added. */
export function scopeNotEnforceable(reason: string): Problem {
  return new Problem("scope-not-enforceable", `${reason}${wayOut}`);
}

/** The same for what is handed out narrowed or not at all: there is no `allowBroader` for it. */
export function withoutWayOut(error: unknown): unknown {
  if (!(error instanceof Problem) || error.code !== "scope-not-enforceable") return error;
  return new Problem(error.code, error.detail.replace(wayOut, ""), { cause: error });
}

/**
 * Decides what a registry's own token is limited to, from what it says that it was granted: exactly the pull that was
 * asked for. A token that says nothing is taken as asked, and marked as not verified.
 * @throws Problem `scope-not-enforceable` when the registry granted less, or when it granted more, or what cannot be read,
 * and the caller does not allow that
 */
export function scopeGranted(
  request: { allowBroader: boolean },
  registry: string,
  wanted: readonly string[],
  claims: TokenClaims,
): MintedScope {
  const access = compareAccess(claims, wanted);
  if (access.kind === "unknown") {
    return { scopeEnforcedBy: "registry", scopeVerified: false, repositories: wanted };
  }
  if (access.missing.length > 0) {
    // A token with more rights is no way out of this.
    throw new Problem(
      "scope-not-enforceable",
      `${registry} did not grant the pull of ${listed(access.missing)}. Check the names and the principal's rights.`,
    );
  }
  if (!access.isBroader) return { scopeEnforcedBy: "registry", scopeVerified: true, repositories: wanted };
  if (request.allowBroader) return { scopeEnforcedBy: "none" };
  throw scopeNotEnforceable(
    `${registry} granted more than the pull that was asked for, or something that cannot be read.`,
  );
}

const maxListed = 5;

function listed(names: readonly string[]): string {
  const more = names.length > maxListed ? ` and ${names.length - maxListed} more` : "";
  return `${names.slice(0, maxListed).join(", ")}${more}`;
}
