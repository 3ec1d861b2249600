import { isObject, listAt, sentenceAt, textAt } from "../client/json-value.js";
import { showTable } from "../client/print-document.js";

/** A token of the service for one registry. Unknown members are ignored. */
export type RegistryToken = {
  registry: string;
  expiresAt: string;
  /** Before this time the service returns the same token. */
  refreshAfter: string;
  /** What the token is limited to; absent: everything that the principal can reach. */
  repositories?: readonly string[];
  scopeEnforcedBy: string;
  /** Whether the token itself names its scope. */
  scopeVerified?: boolean;
  /** Present for a `passThrough` entry, which gives the stored credential itself: it works until it is changed at the registry. */
  raw?: true;
} & Credential;

export type Credential =
  | { kind: "password"; username: string; password: string }
  /** Sent to the registry as it is; not a password. */
  | { kind: "bearer"; bearer: string };

export type RegistryFailure = { registry: string; code: string; message: string };

/** @returns the tokens of a reply, or `undefined` when one has an unknown form */
export function readTokens(reply: unknown): RegistryToken[] | undefined {
  const tokens = listAt(reply, "tokens").map(readToken);
  const read = tokens.filter((token) => token !== undefined);
  return isObject(reply) && Array.isArray(reply.tokens) && read.length === tokens.length ? read : undefined;
}

/** The registries that gave no token, from a reply or a problem. */
export function readFailures(reply: unknown): RegistryFailure[] {
  return listAt(reply, "failures").map((failure) => ({
    registry: sentenceAt(failure, "registry") ?? "",
    code: sentenceAt(failure, "code") ?? "",
    message: sentenceAt(failure, "message") ?? "",
  }));
}

function readToken(value: unknown): RegistryToken | undefined {
  const registry = sentenceAt(value, "registry");
  const expiresAt = sentenceAt(value, "expiresAt");
  const refreshAfter = textAt(value, "refreshAfter");
  const credential = readCredential(value);
  if (registry === undefined || expiresAt === undefined || refreshAfter === undefined || !credential) return undefined;
  const repositories = listAt(value, "repositories").filter((name) => typeof name === "string");
  const scopeEnforcedBy = textAt(value, "scopeEnforcedBy") ?? "none";
  return {
    registry,
    expiresAt,
    refreshAfter,
    scopeEnforcedBy,
    ...credential,
    ...(isObject(value) && typeof value.scopeVerified === "boolean" && { scopeVerified: value.scopeVerified }),
    ...(repositories.length > 0 && { repositories }),
    ...(isObject(value) && value.raw === true && { raw: true }),
  };
}

function readCredential(value: unknown): Credential | undefined {
  const username = textAt(value, "username");
  const password = textAt(value, "password");
  const bearer = textAt(value, "bearer");
  if (username !== undefined && password !== undefined) return { kind: "password", username, password };
  return bearer === undefined ? undefined : { kind: "bearer", bearer };
}

/** A token without its credential, to show. */
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

export function tokenTable(tokens: readonly RegistryToken[]): string {
  return showTable(
    ["REGISTRY", "KIND", "REPOSITORIES", "LIMITED BY", "EXPIRES"],
    tokens.map((token) => [
      token.registry,
      token.kind,
      token.repositories?.join(",") ?? "all",
      token.scopeVerified === false ? `${token.scopeEnforcedBy} (not verified)` : token.scopeEnforcedBy,
      // Only the registry knows its end; `expiresAt` is how long a client may cache it.
      token.raw ? "when changed there" : token.expiresAt,
    ]),
  );
}

export const failureLine = ({ registry, code, message }: RegistryFailure): string =>
  `${registry} gave no token: ${message} (${code})`;
