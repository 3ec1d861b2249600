import type { Plaintext } from "../../crypto/plaintext.js";
import type { RegistryEntry } from "../../factory-config/entry.js";
import type { MintRequest } from "../provider.js";
import type { Check } from "./check.js";

/** What is to be tried: one version of a secret at one registry of one entry. */
export type Examination<E extends RegistryEntry = RegistryEntry> = Pick<
  MintRequest<E>,
  "entry" | "host" | "factoryId" | "secret" | "repositories" | "signal"
> & {
  /** The opened current version, when another one is tried. */
  current: Plaintext | undefined;
};

export type Examined = {
  /** Who the cloud says it is. Nothing out of the value itself. */
  principal?: string;
  checks: Check[];
};

/**
 * Tries a credential at its registry, by calls that change nothing there. No token that it gets outlives the call.
 * A `Problem` that it throws is about the login; everything after that is a check.
 */
export interface RegistryDoctor<E extends RegistryEntry> {
  examine(examination: Examination<E>): Promise<Examined>;
}

/** A repository that exists nowhere: what is allowed there is allowed everywhere. */
export const nowhere = "factory-secrets-doctor/no-such-repository";
