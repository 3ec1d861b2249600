import type { Plaintext } from "../../crypto/plaintext.js";
import type { RegistryEntry, RegistryType } from "../../factory-config/entry.js";
import type { AwsKeys } from "./aws/credentials-file.js";

/** What holds a token to its repositories: an IAM session policy, the registry itself, or nothing. */
export type ScopeEnforcer = "iam-session-policy" | "registry" | "none";

/** An opened secret and what to call it in a message. */
export type OpenedSecret = { name: string; version: number; value: Plaintext };

/** What a provider is asked for: one token for one registry. */
export type MintRequest<E extends RegistryEntry = RegistryEntry> = {
  entry: E;
  /** The registry host to mint for, normalised. Absent only for an `aws` entry without a host: the reply's `proxyEndpoint` names it. */
  host: string | undefined;
  /** Immutable id of the factory: part of the session names that the cloud's own log shows. */
  factoryId: string;
  /** Absent for an entry that names none. */
  secret: OpenedSecret | undefined;
  /**
   * For an entry without a secret: signs, anew each time, that this entry of this factory asks, for that audience.
   * @throws Problem `federation-unavailable`
   */
  assert: (audience: string) => Promise<string>;
  /** A demand, sorted and without duplicates: the token must reach no others. `undefined`: all that the principal can reach. */
  repositories: readonly string[] | undefined;
  /** The caller accepts a token that reaches more than `repositories`; the reply then says `scopeEnforcedBy: none`. */
  allowBroader: boolean;
  /** Aborted when no one waits for the answer any more. */
  signal: AbortSignal;
};

/** The secret of an entry that names one. Its absence is a mistake of the program. */
export function secretOf({ secret }: Pick<MintRequest, "secret">): OpenedSecret {
  if (secret === undefined) throw new Error("an entry that names a secret is minted for with it");
  return secret;
}

/** What the broker makes of a secret, or of a principal's trust. It lives in memory only. */
export type Minted = {
  /** The host that it is for. */
  registry: string;
  /** The latest end that the upstream stated: limits, the audit and the reply go by it. */
  expiresAt: Date;
  /** The earliest end, where it differs: the token is refreshed by it. */
  usableUntil?: Date;
  /** The upstream did not say how long it lives. `expiresAt` is then when to ask again, and proves no limit. */
  lifeUnstated?: true;
  /** What it is limited to; absent when it reaches all that the principal can. */
  repositories?: readonly string[];
  scopeEnforcedBy: ScopeEnforcer;
  /** With `scopeEnforcedBy: registry`: whether the token itself says that it was granted what was asked for. */
  scopeVerified?: boolean;
};

/** A freshly minted registry token. */
export type MintedToken = Minted & {
  type: RegistryType;
  revocable: false;
  /** The stored credential itself went out (`passThrough`). */
  raw?: true;
} & ({ kind: "password"; username: string; password: string } | { kind: "bearer"; bearer: string });

/** Temporary AWS credentials that a session policy holds to pulling; without `repositories` from every one of the registry. */
export type MintedAwsCredentials = Minted & {
  keys: Required<AwsKeys>;
  scopeEnforcedBy: "iam-session-policy";
};

/**
 * The part of the broker that speaks to one kind of registry.
 * `mint` throws a `Problem` for everything that a person can act on.
 */
export interface RegistryProvider<E extends RegistryEntry> {
  mint(request: MintRequest<E>): Promise<MintedToken>;
}
