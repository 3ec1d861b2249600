import type { AuditRow } from "../audit/record.js";
import type { Actor } from "../core/caller.js";

/** What a write must know of a secret beforehand: its version is part of what is sealed. */
export type SecretHead = {
  id: string;
  name: string;
  currentVersion: number;
  nextVersion: number;
  destroyedVersions: number;
  named: boolean;
  /** Of its current version. */
  deliverToJobs: boolean;
};

/**
 * One change as the statement takes it. `version` is the version it makes, and what it was sealed for; a staged one
 * waits to be promoted.
 */
export type SecretChange = {
  op: "create" | "update" | "stage" | "delete";
  secret_id: string;
  name: string;
  version: number;
  /** Only if this is the current version. */
  if_version: number | null;
  /** Only if so many of its versions were destroyed: what it restores is still there. */
  if_destroyed: number | null;
  /** Delete although an entry names it. */
  forced: boolean;
  /** Delete its values for good, too. */
  purged: boolean;
  data_key_id: string | null;
  ciphertext: string | null;
  fingerprint: string | null;
  /** What it was made with. Only if that is still the key of the fingerprints. */
  fingerprint_key_id: string | null;
  restored_from: number | null;
  /** `null` leaves these two as they are. */
  description: string | null;
  expires_at: string | null;
  /** The entries that name the secret can use the value, or it was allowed. Else only if no entry names the secret. */
  judged: boolean;
  /** Of the version that it makes. */
  deliver_to_jobs: boolean;
  /** Only if the current version says so: by that it was judged. `null` where there is none. */
  if_deliver_to_jobs: boolean | null;
};

/** Changes that are made together or not at all, with their audit rows. */
export type ChangeSet = {
  factoryId: string;
  changes: readonly SecretChange[];
  at: Date;
  actor: Actor;
  audit: readonly AuditRow[];
};

/** How many secrets a factory may have. */
export type SecretLimits = { maxSecrets: number };
