import { Problem } from "../../core/problem.js";
import { compareAccess, type TokenClaims } from "./token-claims.js";
import { type Named, upstreamRefused } from "./upstream-reply.js";

/** What a minted token is limited to, as the reply says it. */
export type MintedScope =
  | { scopeEnforcedBy: "registry" | "iam-session-policy"; repositories: readonly string[] }
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
 * Decides what a registry's own token is limited to, from what it says that it was granted.
 * @throws Problem `upstream-refused` when none of the repositories was granted, `scope-not-enforceable` when the registry
 * granted more than was asked and the caller does not allow that
 */
export function scopeGranted(
  request: Named & { allowBroader: boolean },
  registry: string,
  wanted: readonly string[],
  claims: TokenClaims,
): MintedScope {
  const access = compareAccess(claims, wanted);
  if (access.kind === "unknown") return { scopeEnforcedBy: "registry", repositories: wanted };
  if (access.granted.length === 0) {
    const which = wanted.length === 1 ? "the repository" : `any of the ${wanted.length} repositories`;
    throw upstreamRefused(
      request,
      registry,
      `it may not pull ${which} asked for. Check the name and the principal's rights.`,
    );
  }
  if (!access.isBroader) return { scopeEnforcedBy: "registry", repositories: access.granted };
  if (request.allowBroader) return { scopeEnforcedBy: "none" };
  throw scopeNotEnforceable(`${registry} granted more than the pull that was asked for.`);
}
