import { isObject, listAt, sentenceAt, textAt } from "../client/json-value.js";
import { showTable } from "../client/print-document.js";

/** A token as the service hands it out, for one registry. Members that a later service adds are passed over. */
export type RegistryToken = {
  registry: string;
  expiresAt: string;
  /** Before this the same token would come again. */
  refreshAfter: string;
  /** What the token is limited to; absent: all that the principal can reach. */
  repositories?: readonly string[];
  scopeEnforcedBy: string;
  /** Whether the token itself says what it was granted. */
  scopeVerified?: boolean;
  /** Present for the stored credential itself, which a `passThrough` entry hands out: it ends when it is changed there. */
  raw?: true;
} & Credential;

export type Credential =
  | { kind: "password"; username: string; password: string }
  /** Goes to the registry as it is: no password. */
  | { kind: "bearer"; bearer: string };

export type RegistryFailure = { registry: string; code: string; message: string };

/** @returns the tokens of a reply, or `undefined` when one of them is not what this program knows */
export function readTokens(reply: unknown): RegistryToken[] | undefined {
  const tokens = listAt(reply, "tokens").map(readToken);
  const known = tokens.filter((token) => token !== undefined);
  return isObject(reply) && Array.isArray(reply.tokens) && known.length === tokens.length ? known : undefined;
}

/** The registries that gave none, of a reply or of a problem. */
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
