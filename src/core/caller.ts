import type { Grant } from "./grant.js";
import type { Permission } from "./permissions.js";

/** What a caller is. `oidc` is a workload of someone else's, such as a CI job, with an ID token of its issuer. */
export type CallerKind = "operator" | "api-token" | "job" | "oauth-client" | "oidc" | "device";

/** What is stored as a credential. A session is what a token of ours was issued for; anyone who holds that is its client, or the workload. */
export type CredentialKind = "operator" | "api-token" | "job" | "oauth-client" | "oauth-session" | "oidc-session";

/** A factory as far as most code needs to know it. The id never changes; the name is what people type. */
export type FactoryRef = { id: string; name: string };

/** Why a caller without a credential of ours was let in, as the audit keeps it beside what the caller was given. */
export type Evidence =
  | { issuer: string; rules: readonly Named[]; claims: readonly { name: string; value: string }[] }
  | { authority: Named; serial: string };

/** A name that a device asks by, and the host or id of the registry entry that is meant. */
export type RoleAlias = { alias: string; registry: string };

type Named = { id: string; name: string };

/** Who is asking, once the credential has been checked. */
export type Caller = {
  kind: CallerKind;
  /** Id of the credential or session; of a workload's first matching rule; of a device. */
  id: string;
  /** What a person called it; of a workload its `sub`. */
  name: string;
  /** Whom the audit names, when that is not the credential itself: the client of a session. */
  actorId?: string;
  /** The stored credential that it came with; absent for who came with an ID token or a certificate. */
  credentialId?: string;
  /** The one factory it belongs to; absent for an operator. */
  factory?: FactoryRef;
  permissions: ReadonlySet<Permission>;
  /** All that it may pull, where that is limited: it never gets more. */
  grants?: readonly Grant[];
  /** Whether it gets the values of secrets that are flagged for delivery to jobs. */
  deliverSecrets?: true;
  /** The longest life of what it is given, in seconds, where a rule or a policy limits it. */
  maxTtlSeconds?: number;
  expiresAt?: Date;
  /** What its device authority calls registries, for clients of the AWS IoT credentials provider. */
  roleAliases?: readonly RoleAlias[];
  evidence?: Evidence;
  /** Ids of all authorities that let this device in: a denial by any of them counts. */
  authorities?: readonly string[];
  /** Of its factory (of the installation, for an operator) in the snapshot that the credential was read in. */
  generation: bigint;
};

/**
 * What must not be withdrawn when an answer for this caller leaves: a stored credential, or a device and the certificate
 * that it came with. `undefined` for the bearer of an ID token, which no one here can withdraw.
 */
export type Standing = { credentialId: string } | { deviceId: string; authorities: readonly string[]; serial: string };

export function standingOf({ credentialId, kind, id, evidence, authorities = [] }: Caller): Standing | undefined {
  if (credentialId !== undefined) return { credentialId };
  if (kind !== "device" || evidence === undefined || !("authority" in evidence)) return undefined;
  return { deviceId: id, authorities, serial: evidence.serial };
}

/** What an audit row and a version remember of a caller. */
export type Actor = { kind: CallerKind | "service" | "unknown"; id: string; name: string };

export function actorOf(caller: Caller): Actor {
  return { kind: caller.kind, id: caller.actorId ?? caller.id, name: caller.name };
}
