import { showTable } from "../client/show-table.js";
import type { RegistryFailure, RegistryToken } from "./registry-token.js";

/** What may be shown of a token: all but the credential. */
export type TokenView = {
  registry: string;
  kind: RegistryToken["kind"];
  repositories?: readonly string[];
  scopeEnforcedBy: string;
  scopeVerified?: boolean;
  expiresAt: string;
  raw?: true;
};

export function viewOf(token: RegistryToken): TokenView {
  const { registry, kind, repositories, scopeEnforcedBy, scopeVerified, expiresAt, raw } = token;
  return {
    registry,
    kind,
    ...(repositories && { repositories }),
    scopeEnforcedBy,
    ...(scopeVerified !== undefined && { scopeVerified }),
    expiresAt,
    ...(raw && { raw }),
  };
}

/** A line for each token. */
export function tokenTable(tokens: readonly RegistryToken[]): string {
  return showTable(
    ["REGISTRY", "KIND", "REPOSITORIES", "LIMITED BY", "EXPIRES"],
    tokens.map((token) => [
      token.registry,
      token.kind,
      token.repositories?.join(",") ?? "all",
      token.scopeVerified === false ? `${token.scopeEnforcedBy} (not verified)` : token.scopeEnforcedBy,
      // Its own end is known to the registry alone; `expiresAt` is how long a client may use it unasked.
      token.raw ? "when changed there" : token.expiresAt,
    ]),
  );
}

export const failureLine = ({ registry, code, message }: RegistryFailure): string =>
  `${registry} gave no token: ${message} (${code})`;
